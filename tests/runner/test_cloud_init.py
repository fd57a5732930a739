from support import Case  # first: it sets up the module path

import json

from cloud_init import check_cloud_init
from progress import StepFailed

LOG = "/var/log/cloud-init.log"
# What a boot without faults writes, in the words of cloud-init 22.4 and 25.1.
HARMLESS = """\
schema.py[WARNING]: Deprecated cloud-config provided:
cc_users_groups.py[WARNING]: Deprecated: the key is still read
util.py[WARNING]: Getting data from <class 'DataSourceEc2'> failed
util.py[WARNING]: Failed loading yaml blob of vendor data. Invalid format
activators.py[WARNING]: Running ['netplan', 'apply'] resulted in stderr output: Cannot call Open vSwitch
stages.py[WARNING]: Failed to rename devices: 1 device is busy
url_helper.py[ERROR]: Timed out, no response from urls: ['http://169.254.169.254/']
dhcp.py[ERROR]: No dhcp client is there
__init__.py[WARNING]: Not all expected physical devices present: {'52:54:00:12:34:56'}, an interface is missing
__init__.py[WARNING]: Skipping creation of existing group 'docker'
cc_growpart.py[WARNING]: growpart is not available
cc_resizefs.py[WARNING]: Unable to find device '/dev/root'
util.py[WARNING]: Failed: growpart /dev/vda 1
util.py[WARNING]: grub-probe failed to execute for grub_dpkg
cc_keys_to_console.py[WARNING]: Writing keys to the system console failed!
cc_final_message.py[WARNING]: Used fallback datasource
util.py[WARNING]: Unable to get lsb_release --all: not found
__init__.py[WARNING]: Error persisting instance-data.json: not serializable
DataSourceNoCloud.py[WARNING]: device /dev/sr0 with label=cidata not a valid seed
util.py[WARNING]: Failed pickling datasource DataSourceNoCloud
util.py[WARNING]: Running module write-files (<module 'cloudinit.config.cc_write_files'>) failed
main.py[DEBUG]: Ran 14 modules with 0 failures
util.py[DEBUG]: Failed to do something at the wrong level
"""
# What each of these says is missing on the machine.
FATAL = """\
util.py[WARNING]: Failed to create user nakama
util.py[WARNING]: Failed to create group nakama
__init__.py[WARNING]: Unable to add group member 'x' to group 'y'; user does not exist.
__init__.py[WARNING]: Unhandled non-multipart (text/x-not-multipart) userdata: 'b'hello''
cc_write_files.py[WARNING]: No path provided to write for entry 2 in module write_files
cc_write_files.py[WARNING]: Undecodable permissions 'abc', returning default 420
util.py[WARNING]: Failed to run bootcmd module bootcmd
util.py[WARNING]: Failed loading yaml blob. Invalid format at line 3
jinja_template.py[WARNING]: Could not render jinja template variables in file '/var/lib/cloud/instance/cloud-config.txt'
templater.py[WARNING]: Jinja2 not available as the selected renderer
cc_ssh.py[WARNING]: Skipping empty ssh_keys entry: "rsa_private"
cc_mounts.py[WARNING]: failed to setup swap: no space
cc_apt_configure.py[WARNING]: No template found, not rendering /etc/apt/sources.list
cc_package_update_upgrade_install.py[WARNING]: 1 failed with exceptions, re-raising the last one
cc_set_passwords.py[WARNING]: No default or defined user to change password for.
modules.py[WARNING]: Could not find module named snapp
util.py[WARNING]: Failed partitioning operation
cc_phone_home.py[WARNING]: Missing template
user_data.py[ERROR]: Fetching from http://127.0.0.1/x failed
ug_util.py[WARNING]: Comma-delimited string expected for `groups`
"""


class CloudInitTest(Case):
    def check(self):
        """Returns what the check fails with, or an empty text."""
        self.lines = []
        try:
            check_cloud_init(self.machine, self.lines.append)
        except StepFailed as error:
            return str(error)
        return ""

    def put_log(self, *lines):
        self.put(LOG, "".join("2026-11-30 10:00:00,123 - %s\n" % line for line in lines))

    def test_a_boot_without_errors(self):
        self.put_result()
        self.assertEqual(self.check(), "")
        self.assertEqual(self.lines, ["no errors, datasource DataSourceConfigDrive"])

    def test_errors_of_modules_are_told_in_their_words(self):
        self.put_result("('write_files', OSError('Unknown user or group: \"getpwnam(): name not found: ghost\"'))",
                        "('scripts-user', 1)", "failed stage")
        self.assertEqual(self.check(), "cloud-init could not do all that the document says: write_files: OSError('Unknown user or group: "
                         "\"getpwnam(): name not found: ghost\"'); scripts-user: 1; failed stage")

    def test_the_providers_own_scripts_are_not_the_documents(self):
        for name in ("scripts_vendor", "scripts-vendor"):
            self.put_result("('%s', RuntimeError('Runparts: 1 failures'))" % name)
            self.assertEqual(self.check(), "")

    def test_each_harmless_warning_is_harmless(self):
        self.put_result()
        for line in HARMLESS.splitlines():
            self.put_log(line)
            self.assertEqual(self.check(), "", line)
            self.assertEqual(len(self.lines), 1 if "DEBUG" in line else 2, line)

    def test_each_lost_part_of_the_document_is_a_failure(self):
        self.put_result()
        for line in FATAL.splitlines():
            self.put_log(line)
            self.assertEqual(self.check(), "cloud-init could not do all that the document says: " + line.split("]: ", 1)[1])

    def test_a_warning_is_told_once_and_only_of_this_boot(self):
        self.put_result()
        warning = "util.py[WARNING]: Failed to create user a"
        start = "util.py[DEBUG]: Cloud-init v. 25.1 running 'init-local' at Mon"
        self.put_log("util.py[WARNING]: Failed to create user b", start, warning, "Traceback", warning)
        self.assertEqual(self.check(), "cloud-init could not do all that the document says: Failed to create user a")

    def test_a_cloud_init_that_was_stopped(self):
        self.put("/run/cloud-init/status.json", json.dumps({"v1": {"stage": "modules-final"}}))
        self.put("/var/log/cloud-init-output.log", "\n".join(map(str, range(20))))
        message = "cloud-init did not finish its stage modules-final: did a command stop or restart it?"
        self.assertEqual(self.check(), message)
        self.assertEqual(self.lines, list(map(str, range(5, 20))))
        self.put("/run/cloud-init/result.json", "{")
        self.assertEqual(self.check(), message)
        self.machine.remove("/run/cloud-init/status.json")
        self.assertEqual(self.check(), "cloud-init did not finish: did a command stop or restart it?")
