from support import OWNER, Case  # first: it sets up the module path

import hashlib
import json
import os
import threading
import time
from unittest import mock

import upload
from progress import StepFailed
from upload import Upload


def digest(data):
    return hashlib.sha256(data).hexdigest()


class UploadTest(Case):
    FILES = [("/opt/game/empty", b"", "0600"), ("/opt/game/deep/er/server", bytes(range(256)) * 700, "0755"),
             ("/etc/game.conf", b"name=x\r\n\xff", "0640")]

    def setUp(self):
        Case.setUp(self)
        index = [{"path": path, "mode": mode, "owner": OWNER, "size": len(data), "sha256": digest(data)}
                 for path, data, mode in self.FILES]
        self.begin(index, b"".join(data for _, data, _ in self.FILES))

    def begin(self, index, contents):
        line = json.dumps(index).encode() + b"\n"
        self.stream = line + contents
        self.upload = Upload(self.machine, {"size": len(line), "sha256": digest(line)})

    def run_step(self):
        """Starts the step; returns a function that waits for its end and returns its error."""
        ended = []

        def step():
            try:
                self.upload.receive(self.lines.append)
                ended.append(None)
            except Exception as error:
                ended.append(error)
        thread = threading.Thread(target=step, daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        while self.upload.next is None and not ended and time.monotonic() < deadline:
            time.sleep(0.001)

        def wait():
            thread.join(60)
            self.assertEqual(len(ended), 1, "the step has not ended")
            return ended[0]
        return wait

    def send(self, chunk):
        """Sends the stream as a controller does that asks where to continue."""
        while self.upload.next is not None and self.upload.next < len(self.stream):
            offset = self.upload.next
            self.upload.accept(offset, self.stream[offset:offset + chunk])

    def test_files_arrive_in_chunks_of_any_size(self):
        for chunk in (1 << 22, 4096, 997):
            with self.subTest(chunk=chunk):
                wait = self.run_step()
                self.send(chunk)
                self.assertIsNone(wait())
                self.assertIsNone(self.upload.next)
                for path, data, mode in self.FILES:
                    with open(self.root + path, "rb") as file:
                        self.assertEqual(file.read(), data)
                    self.assertEqual("%04o" % (os.stat(self.root + path).st_mode & 0o7777), mode)
                self.assertEqual(os.stat(self.root + "/opt/game/deep").st_mode & 0o7777, 0o755)
        self.assertEqual(self.lines[0], "3 files, %d bytes" % sum(len(data) for _, data, _ in self.FILES))

    def test_a_chunk_that_is_not_the_next_one_changes_nothing(self):
        self.assertIsNone(self.upload.accept(0, b"too early"))
        wait = self.run_step()
        self.assertEqual(self.upload.accept(7, self.stream[7:]), 0)
        self.assertEqual(self.upload.accept(0, self.stream[:10]), 10)
        # The answer was lost, and the controller sends it again.
        self.assertEqual(self.upload.accept(0, self.stream[:10]), 10)
        self.send(1 << 20)
        self.assertIsNone(wait())
        self.assertIsNone(self.upload.accept(len(self.stream), b"more"))

    def test_the_chunk_before_is_written_first(self):
        self.upload.next = 0
        self.assertEqual(self.upload.accept(0, b"one"), 3)
        with mock.patch.object(upload, "ACCEPT_SECONDS", 0.01):
            self.assertEqual(self.upload.accept(3, b"two"), 3)
        self.assertEqual(self.upload.read(99), b"one")
        self.assertEqual(self.upload.accept(3, b"two"), 6)

    def test_another_content_is_never_in_place(self):
        at = self.stream.index(bytes(range(256))) + 4000
        self.stream = self.stream[:at] + b"!" + self.stream[at + 1:]
        wait = self.run_step()
        self.send(8192)
        error = wait()
        self.assertIsInstance(error, StepFailed)
        self.assertIn("/opt/game/deep/er/server: what arrived", str(error))
        self.assertEqual(os.listdir(self.root + "/opt/game/deep/er"), [])
        self.assertFalse(os.path.exists(self.root + "/etc/game.conf"))
        self.assertIsNone(self.upload.next)

    def test_another_index_is_refused(self):
        self.stream = self.stream.replace(b"/etc/game.conf", b"/etc/evil.conf")
        wait = self.run_step()
        self.send(8192)
        self.assertIn("the index: what arrived", str(wait()))
        self.assertFalse(os.path.exists(self.root + "/opt"))
