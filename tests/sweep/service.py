"""A small service that speaks enough of DigitalOcean's API for a bake, written apart from `mkimg emulate`: another reading
of the same documentation, with answers that hold as little as they may. Droplets turn themselves off after a while.

Usage: service.py [OPTION…]; the first line of standard output is its URL. Options: NUMBER:FAULT or NUMBER-:FAULT plays a
fault on a request, counted from 1 (500 502 503 429 closed lost handled-500 hang truncated garbage 404 401 422 pending);
`METHOD PATH#NUMBER-:FAULT` counts the requests of one method and path alone (`N` stands for any number in it, and for a tag);
`lists=wide` ignores filters, `ids=text` writes numbers as text, `sizes=missing` does not know sizes and regions,
`one=missing` shows snapshots in lists alone, `tags=missing` shows no tags of droplets, `actions=nested` shows actions with
their resource alone, `actions=empty` lists none, `actions=listed` lists those of all droplets, `status=200` answers 200 for all that went well, and with a body,
`bodies=chunked` sends them in pieces on a connection that stays open, `headers=upper` and `headers=lower` write their
names so, `limit=date` gives `retry-after` as a date, `snapshots=late` shows a finished snapshot at its droplet 2 seconds
later, `create=errored` lets the create action fail, `lists=none` refuses to list by a tag. `GET /_account`,
without a token, is what is really there; `POST /_well` ends all faults. To add a fault: a branch in `Handler.play`.
"""
import json
import os
import random
import re
import socket
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = os.environ["MKIMG_TEST_TOKEN"]
OFF_AFTER = 0.05
FAULTS, OPTIONS = [], {}
for word in sys.argv[1:]:
    if "=" in word:
        name, _, value = word.partition("=")
        OPTIONS[name] = value
    else:
        numbers, _, fault = word.rpartition(":")
        route, _, numbers = numbers.rpartition("#")
        first, dash, last = numbers.partition("-")
        FAULTS.append((int(first), float("inf") if dash and not last else int(last or first), fault, route))


class Refused(Exception):
    def __init__(self, status, message):
        Exception.__init__(self, message)
        self.status, self.message = status, message


class Account:
    """What exists. Ids of all kinds come from one random sequence, so that none can be guessed or taken for another."""

    def __init__(self):
        self.lock = threading.Lock()
        self.droplets, self.snapshots, self.actions, self.tags = {}, {}, {}, set()
        self.requests, self.routes = [], []

    def id(self):
        return random.randrange(10 ** 6, 10 ** 9)

    def droplet(self, id):
        if id not in self.droplets:
            raise Refused(404, "The resource you were accessing could not be found.")
        found = self.droplets[id]
        if found["status"] == "new" and OPTIONS.get("create") != "errored":
            found["status"] = "active"
        elif found["status"] == "active" and time.monotonic() >= found["off"]:
            found["status"] = "off"
        return found

    def act(self, kind):
        id = self.id()
        self.actions[id] = {"status": "completed", "type": kind}
        # The answer to the request still says that it is under way.
        return {"action": {"id": id, "status": "in-progress", "type": kind}}


ACCOUNT = Account()


def show(kind, id, more):
    written = str(id) if kind == "snapshot" or OPTIONS.get("ids") == "text" else id
    return dict(id=written, **more)


def shown_droplet(id):
    found = ACCOUNT.droplet(id)
    tags = {} if OPTIONS.get("tags") == "missing" else {"tags": sorted(found["tags"])}
    return show("droplet", id, {"name": found["name"], "status": found["status"], **tags})


def shown_snapshot(id, found):
    return show("snapshot", id, {"name": found["name"], "regions": found["regions"], "tags": sorted(found["tags"]),
                                 "resource_id": str(found["droplet"])})


def handle(method, path, query, body):
    """Status and answer of a request, as the service would give them."""
    if OPTIONS.get("lists") == "wide":
        query = {}
    words = [unquote(word) for word in path.strip("/").split("/")][1:]
    number = int(words[1]) if len(words) > 1 and words[1].isdigit() else None
    if words == ["account"]:
        return 200, {"account": {"email": "a@b.invalid", "status": "active"}}
    if words in (["sizes"], ["regions"]):
        if OPTIONS.get("sizes") == "missing":
            raise Refused(404, "no such route")
        return 200, ({"sizes": [{"slug": "s-1vcpu-1gb"}]} if words == ["sizes"]
                     else {"regions": [{"slug": "nyc3"}, {"slug": "fra1"}]})
    if words[0] == "images" and len(words) == 2 and method == "GET":
        return 200, {"image": {"id": 7, "slug": words[1]}}
    if words == ["droplets"] and method == "POST":
        id = ACCOUNT.id()
        ACCOUNT.droplets[id] = {"name": body["name"], "status": "new", "tags": set(body.get("tags", [])),
                                "region": body["region"], "off": time.monotonic() + OFF_AFTER}
        answer = {"droplet": show("droplet", id, {"name": body["name"], "status": "new"})}
        if OPTIONS.get("create") == "errored":
            action = ACCOUNT.id()
            ACCOUNT.actions[action] = {"status": "errored", "type": "create"}
            answer["links"] = {"actions": [{"id": action, "rel": "create", "href": "https://api.invalid/"}]}
        return 202, answer
    if words == ["droplets"] and method == "GET":
        tag = query.get("tag_name", [None])[0]
        if tag is not None and OPTIONS.get("lists") == "none":
            raise Refused(422, "unknown parameter")
        ids = [id for id, found in ACCOUNT.droplets.items() if tag is None or tag in found["tags"]]
        return 200, {"droplets": [shown_droplet(id) for id in ids]}
    if words[0] == "droplets" and len(words) == 2:
        ACCOUNT.droplet(number)
        if method == "DELETE":
            del ACCOUNT.droplets[number]
            return 204, None
        return 200, {"droplet": shown_droplet(number)}
    if words[0] == "droplets" and words[2:] == ["actions"] and method == "POST":
        found = ACCOUNT.droplet(number)
        if body["type"] in ("shutdown", "power_off"):
            if found["status"] == "off":
                raise Refused(422, "Droplet is already powered off.")
            found["status"] = "off"
        elif body["type"] == "snapshot":
            if found["status"] != "off":
                raise Refused(422, "Droplet must be off.")
            late = 2 if OPTIONS.get("snapshots") == "late" else 0
            ACCOUNT.snapshots[ACCOUNT.id()] = {"name": body["name"], "regions": [found["region"]], "tags": set(),
                                               "droplet": number, "listed": time.monotonic() + late}
        else:
            raise Refused(422, "unknown type")
        return 201, ACCOUNT.act(body["type"])
    if words[0] == "droplets" and words[2:] == ["actions"] and method == "GET" and \
            OPTIONS.get("actions") in ("empty", "listed"):
        listed = OPTIONS.get("actions") == "listed"
        return 200, {"actions": [dict(id=id, **action) for id, action in ACCOUNT.actions.items() if listed]}
    if words[0] == "droplets" and words[2:] == ["snapshots"]:
        ACCOUNT.droplet(number)
        mine = [(id, found) for id, found in ACCOUNT.snapshots.items()
                if found["droplet"] == number and time.monotonic() >= found["listed"]]
        return 200, {"snapshots": [show("image", id, {"name": found["name"]}) for id, found in mine]}
    if OPTIONS.get("actions") == "nested" and len(words) == 4 and words[2] == "actions":
        words, number = ["actions", words[3]], int(words[3])
    elif OPTIONS.get("actions") == "nested" and words[0] == "actions":
        raise Refused(404, "no such route")
    if words[0] == "actions" and len(words) == 2:
        if number not in ACCOUNT.actions:
            raise Refused(404, "no such action")
        return 200, {"action": dict(id=number, **ACCOUNT.actions[number])}
    if words[0] == "images" and words[2:] == ["actions"]:
        if number not in ACCOUNT.snapshots:
            raise Refused(404, "no such image")
        regions = ACCOUNT.snapshots[number]["regions"]
        if body["region"] in regions:
            raise Refused(422, "Image is already available in this region.")
        regions.append(body["region"])
        return 201, ACCOUNT.act("transfer")
    if words[0] == "snapshots" and len(words) == 1:
        return 200, {"snapshots": [shown_snapshot(id, found) for id, found in ACCOUNT.snapshots.items()]}
    if words[0] in ("snapshots", "images") and len(words) == 2:
        if number not in ACCOUNT.snapshots:
            raise Refused(404, "no such snapshot")
        if method == "DELETE":
            del ACCOUNT.snapshots[number]
            return 204, None
        if OPTIONS.get("one") == "missing":
            raise Refused(404, "no such route")
        return 200, {"snapshot": shown_snapshot(number, ACCOUNT.snapshots[number])}
    if words[0] == "tags":
        return tags(method, words, body)
    raise Refused(404, "no such route")


def tags(method, words, body):
    if words == ["tags"] and method == "POST":
        ACCOUNT.tags.add(body["name"])
        return 201, {"tag": {"name": body["name"]}}
    carriers = list(ACCOUNT.droplets.values()) + list(ACCOUNT.snapshots.values())
    if words[1] not in ACCOUNT.tags | {tag for found in carriers for tag in found["tags"]}:
        raise Refused(404, "no such tag")
    if words[2:] == ["resources"]:
        for resource in body["resources"]:
            id = int(resource["resource_id"])
            found = (ACCOUNT.droplets if resource["resource_type"] == "droplet" else ACCOUNT.snapshots).get(id)
            if found is None:
                raise Refused(404, "no such resource")
            (found["tags"].add if method == "POST" else found["tags"].discard)(words[1])
        return 204, None
    ACCOUNT.tags.discard(words[1])
    for found in carriers:
        found["tags"].discard(words[1])
    return 204, None


class Handler(BaseHTTPRequestHandler):
    # One request a connection, as HTTP/1.0 has it; pieces are of HTTP/1.1.
    protocol_version = "HTTP/1.1" if OPTIONS.get("bodies") == "chunked" else "HTTP/1.0"

    def log_message(self, *_):
        pass

    def do(self):
        length = int(self.headers.get("content-length") or 0)
        text = self.rfile.read(length)
        parts = urlsplit(self.path)
        if self.path == "/_well":
            FAULTS.clear()
            return self.send(204, b"")
        if self.path == "/_account":
            with ACCOUNT.lock:
                return self.send(200, json.dumps({
                    "droplets": list(ACCOUNT.droplets),
                    "snapshots": [dict(shown_snapshot(id, found), regions=sorted(found["regions"]))
                                  for id, found in ACCOUNT.snapshots.items()],
                    "requests": ACCOUNT.requests}).encode())
        with ACCOUNT.lock:
            ACCOUNT.requests.append(self.command + " " + self.path)
            number = len(ACCOUNT.requests)
        with ACCOUNT.lock:
            route = self.command + " " + re.sub(r"/([0-9]+|mkimg[^/]*)(?=/|$)", "/N", unquote(parts.path))
            ACCOUNT.routes.append(route)
            of_route = ACCOUNT.routes.count(route)
        fault = next((fault for first, last, fault, only in FAULTS
                      if (not only and first <= number <= last) or (only == route and first <= of_route <= last)), None)
        self.play(fault, parts, text)

    do_GET = do_POST = do_DELETE = do_PUT = do

    def answer(self, parts, text):
        if self.headers.get("authorization") != "Bearer " + TOKEN:
            return 401, b'{"id": "unauthorized", "message": "Unable to authenticate you"}'
        try:
            with ACCOUNT.lock:
                status, answer = handle(self.command, parts.path, parse_qs(parts.query),
                                        json.loads(text) if text else {})
        except Refused as refused:
            status, answer = refused.status, {"id": "refused", "message": refused.message}
        return status, b"" if answer is None else json.dumps(answer).encode()

    def play(self, fault, parts, text):
        if fault == "pending":
            return self.send(422, b'{"id": "unprocessable_entity", "message": "Droplet already has a pending event."}')
        if fault in ("500", "503", "404", "401", "422"):
            return self.send(int(fault), b'{"id": "fault", "message": "as asked"}')
        if fault == "502":
            return self.send(502, b"<html><head><title>502 Bad Gateway</title></head></html>", "text/html")
        if fault == "429":
            retry = formatdate(time.time() + 1, usegmt=True) if OPTIONS.get("limit") == "date" else "1"
            return self.send(429, b'{"id": "too_many_requests", "message": "slow down"}', more=[("retry-after", retry)])
        if fault == "closed":
            return self.hang_up()
        if fault == "hang":
            time.sleep(30)
            return None
        status, body = self.answer(parts, text)
        if fault == "lost":
            return self.hang_up()
        if fault == "handled-500":
            return self.send(500, b"")
        if fault == "garbage":
            return self.send(200, b"\xff\xfe<<not json>>")
        if fault == "truncated":
            self.send(status, body[:len(body) // 2], length=len(body) + 1)
            return self.hang_up()
        assert fault is None, fault
        return self.send(status, body)

    def send(self, status, body, kind="application/json", length=None, more=()):
        if OPTIONS.get("status") == "200" and 200 <= status < 300:
            status, body = 200, body or b"{}"
        chunked = (OPTIONS.get("bodies") == "chunked" and self.request_version == "HTTP/1.1" and length is None
                   and status != 204)
        self.send_response_only(status)
        if chunked:
            self.name("Transfer-Encoding", "chunked")
        elif status != 204 or length is not None:
            self.name("Content-Length", str(len(body) if length is None else length))
        if body:
            self.name("Content-Type", kind)
        for name, value in more:
            self.name(name, value)
        self.end_headers()
        if not chunked:
            return self.wfile.write(body)
        for piece in [body[at:at + 7] for at in range(0, len(body), 7)] + [b""]:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def name(self, name, value):
        spelled = {"upper": name.upper, "lower": name.lower}.get(OPTIONS.get("headers"), lambda: name)
        self.send_header(spelled(), value)

    def hang_up(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients that hang up are what this is for."""


server = Server(("127.0.0.1", 0), Handler)
print("http://127.0.0.1:%d" % server.server_address[1], flush=True)
server.serve_forever()
