"""Uploads and downloads objects of S3-compatible storage (DigitalOcean Spaces), with AWS Signature Version 4.

Keys and endpoint come from /etc/nakama/backup.conf, which only root can read. Objects are addressed as
ENDPOINT/BUCKET/KEY. The service rejects objects over 5 GiB.
"""

import hashlib
import hmac
import os
import re
import time
import urllib.parse
import urllib.request

from machine import Failure, copy_limited, open_url, read

CONFIG = "/etc/nakama/backup.conf"
# Time limit of a transfer, and of BACKUP and RESTORE: the same as of the nightly unit.
MAX_SECONDS = 3 * 3600
MAX_OBJECT_BYTES = 5 << 30


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
    parts, day = urllib.parse.urlsplit(url), now[:8]
    headers = {"host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": now}
    names = ";".join(sorted(headers))
    request = "\n".join([method, parts.path, "", *("%s:%s" % pair for pair in sorted(headers.items())), "", names, digest])
    scope = "%s/%s/s3/aws4_request" % (day, region)
    text = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (now, scope, hashlib.sha256(request.encode()).hexdigest())
    signature = ("AWS4" + secret).encode()
    for part in (day, region, "s3", "aws4_request", text):
        signature = hmac.new(signature, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (key, scope, names, signature.hex())
    return headers


def transfer_object(address, file, upload):
    """Uploads or downloads s3://BUCKET/KEY from or to an open file. Failures contain the service's answer, never a key."""
    config = backup_settings()
    missing = [name for name in ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY") if name not in config]
    if missing:
        raise Failure("%s needs %s in %s" % (address, ", ".join(missing), CONFIG), 2)
    url = config["S3_ENDPOINT"].rstrip("/") + "/" + urllib.parse.quote(address[5:], safe="/-_.~")
    digest = sha256(file) if upload else hashlib.sha256(b"").hexdigest()
    method = "PUT" if upload else "GET"
    headers = sign_request(method, url, config.get("S3_REGION", "us-east-1"), config["S3_ACCESS_KEY"], config["S3_SECRET_KEY"], digest,
                           time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    if upload:
        headers["content-length"] = str(os.fstat(file.fileno()).st_size)
    with open_url(urllib.request.Request(url, file if upload else None, headers, method=method), MAX_SECONDS) as answer:
        if not upload:
            copy_limited(answer, file, MAX_OBJECT_BYTES)
