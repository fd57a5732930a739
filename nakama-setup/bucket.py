"""Uploads and downloads objects of S3-compatible storage (DigitalOcean Spaces), with AWS Signature Version 4.

Keys and endpoint come from /etc/nakama/backup.conf, which only root can read. Objects are addressed as
ENDPOINT/BUCKET/KEY. The service rejects objects over 5 GiB.
"""

import hashlib
import hmac
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request

from machine import Failure, read

CONFIG = "/etc/nakama/backup.conf"


def backup_settings():
    """Reads KEY=VALUE lines; # starts a comment."""
    return dict(re.findall(r"^(\w+)=(\S+)\s*$", read(CONFIG), re.M))


def sha256(file):
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def sign_request(method, url, region, key, secret, digest, now):
    """Returns the headers of a signed request without a query."""
    nodelocal_url, day = urllib.parse.urlsplit(url), now[:8]
    headers = {"host": nodelocal_url.netloc, "x-amz-content-sha256": digest, "x-amz-date": now}
    names = ";".join(sorted(headers))
    request = "\n".join([method, nodelocal_url.path, "", *("%s:%s" % pair for pair in sorted(headers.items())), "", names, digest])
    scope = "%s/%s/s3/aws4_request" % (day, region)
    text = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (now, scope, hashlib.sha256(request.encode()).hexdigest())
    signature = ("AWS4" + secret).encode()
    for part in (day, region, "s3", "aws4_request", text):
        signature = hmac.new(signature, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (key, scope, names, signature.hex())
    return headers


def transfer_object(address, local, upload):
    """Uploads or downloads s3://BUCKET/KEY. Failures contain the service's answer, never a key."""
    config = backup_settings()
    missing = [name for name in ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY") if name not in config]
    if missing:
        raise Failure("%s needs %s in %s" % (address, ", ".join(missing), CONFIG), 2)
    url = config["S3_ENDPOINT"].rstrip("/") + "/" + urllib.parse.quote(address[5:], safe="/-_.~")
    with open(local, "rb" if upload else "wb") as file:
        digest = sha256(file) if upload else hashlib.sha256(b"").hexdigest()
        method = "PUT" if upload else "GET"
        headers = sign_request(method, url, config.get("S3_REGION", "us-east-1"), config["S3_ACCESS_KEY"], config["S3_SECRET_KEY"], digest,
                         time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        if upload:
            headers["content-length"] = str(os.path.getsize(local))
        try:
            with urllib.request.urlopen(urllib.request.Request(url, file if upload else None, headers, method=method), timeout=300) as answer:
                if not upload:
                    shutil.copyfileobj(answer, file)
        except urllib.error.HTTPError as error:
            answer = re.findall(r"<(?:Code|Message)>(.*?)<", error.read(4096).decode("utf-8", "replace"))
            raise Failure("%s %s: HTTP %d %s" % (method, address, error.code, ": ".join(answer))) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Failure("%s %s: %s" % (method, address, error)) from None
