"""The files that have no room in the document: the controller sends them over the status channel.

They are one stream: an index of one line of JSON, and the contents one after the other. The bake's entry has the size and
the sum of the index, the index those of each file. Nothing is kept but the chunk that is being written, and the
controller asks where to continue, so it may lose the connection at any byte.
"""
import hashlib
import json
import os
import threading

from progress import StepFailed

# How long a chunk may wait until the one before is written.
ACCEPT_SECONDS = 10


class Upload:
    def __init__(self, system, index):
        self.system = system
        self.index = index
        self.changed = threading.Condition()
        self.chunk = memoryview(b"")
        # Where the next chunk begins, or None if none is wanted.
        self.next = None

    def accept(self, offset, data):
        """Takes a chunk if it is the next one. Returns where the one after it begins."""
        with self.changed:
            if offset == self.next and self.changed.wait_for(lambda: not self.chunk, ACCEPT_SECONDS) and offset == self.next:
                self.chunk = memoryview(data)
                self.next += len(data)
                self.changed.notify_all()
            return self.next

    def read(self, size):
        with self.changed:
            self.changed.wait_for(lambda: self.chunk)
            data = self.chunk[:size]
            self.chunk = self.chunk[size:]
            self.changed.notify_all()
        return bytes(data)

    def receive(self, line):
        """The step: waits for the controller and writes the files."""
        self.next = 0
        try:
            index = Part(self, "the index", **self.index)
            files = json.loads(b"".join(iter(lambda: index.read(1 << 16), b"")).decode())
            line("%d files, %d bytes" % (len(files), sum(file["size"] for file in files)))
            for file in files:
                path = file["path"]
                self.system.make_directory(os.path.dirname(path), file["owner"])
                self.system.write_file(path, Part(self, path, file["size"], file["sha256"]), int(file["mode"], 8), file["owner"])
        finally:
            self.next = None


class Part:
    """A part of the stream, as a file to read. Its end is reached only if the sum is right."""

    def __init__(self, upload, name, size, sha256):
        self.upload = upload
        self.name = name
        self.left = size
        self.expected = sha256
        self.sum = hashlib.sha256()

    def read(self, size):
        data = self.upload.read(min(size, self.left)) if self.left else b""
        self.left -= len(data)
        self.sum.update(data)
        if not self.left and self.sum.hexdigest() != self.expected:
            raise StepFailed("%s: what arrived has not the sum that the document has" % self.name)
        return data
