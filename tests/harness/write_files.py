"""Runs `bootcmd` and `write_files` of a document as cloud-init does, below a folder and without its users: DOCUMENT FOLDER."""
import base64, os, shlex, shutil, subprocess, sys, yaml
document, root = yaml.safe_load(open(sys.argv[1], "rb")), sys.argv[2]
shutil.chown = lambda *_: None
asked, subprocess.run = [], lambda argv, **_: asked.append(argv)
# cloud-init writes the items to a shell script.
command = " ".join("'%s'" % str(word).replace("'", "'\\''") for word in document["bootcmd"][-1])
words = shlex.split(command)
assert words[:3] == ["cloud-init-per", "instance", "mkimg"] and max(map(len, words)) < 131072
for more in ([], ["second"]):
    if more and not any("--unit=mkimg-files" in argv for argv in asked):
        break
    sys.argv = ["-c", words[-1], root] + more
    try:
        exec(words[-2], {"__name__": "__main__"})
    except SystemExit as ended:
        assert not ended.code
for entry in document["write_files"]:
    content = entry["content"]
    data = base64.b64decode(content) if entry.get("encoding") else content.encode()
    os.makedirs(os.path.dirname(root + entry["path"]), exist_ok=True)
    with open(root + entry["path"], "wb") as file:
        file.write(data)
    os.chmod(root + entry["path"], int(entry["permissions"], 8))
