"""Runs Roost under irctest (https://github.com/progval/irctest). See README.md beside this file.

The configuration is kept in the shape of Ergo's, because irctest's tests edit it in that shape
(`ergo_config`); `to_toml` translates what Roost has and leaves out what it has not.
"""

import copy
import functools
import json
import os
import shutil
import subprocess

from irctest import patma
from irctest.basecontrollers import BaseServerController, DirectoryBasedController
from irctest.controllers.ergo import BASE_CONFIG
from irctest.runner import NotImplementedByController
from irctest.specifications import Capabilities, OptionalBehaviors

BINARY = os.environ.get("ROOST_BIN", "roost")

# The casemapping of tests that ask for none.
CASEMAPPING = os.environ.get("ROOST_CASEMAPPING", "ascii")

# The longest password that fits into a line of REGISTER.
LONGEST_PASSWORD = 480


@functools.lru_cache(maxsize=None)
def hash_password(password):
    """The hash of a password, made by `roost passwd`; it takes a moment, so it is kept."""
    answer = subprocess.run(
        [BINARY, "passwd"],
        input=f"{password}\n{password}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return next(word for word in answer.stdout.split() if word.startswith("$2"))


class RoostController(BaseServerController, DirectoryBasedController):
    software_name = "Roost"
    _port_wait_interval = 0.01
    supported_sasl_mechanisms = {
        "PLAIN",
        "EXTERNAL",
        "SCRAM-SHA-256",
        "SCRAM-SHA-512",
        "ECDSA-NIST256P-CHALLENGE",
    }
    supports_sts = False
    extban_mute_char = "m"

    # With a capability in this list, a test that finds it missing fails instead of being skipped.
    capabilities = frozenset(
        (
            Capabilities.ACCOUNT_NOTIFY,
            Capabilities.ACCOUNT_TAG,
            Capabilities.AWAY_NOTIFY,
            Capabilities.BATCH,
            Capabilities.ECHO_MESSAGE,
            Capabilities.EXTENDED_JOIN,
            Capabilities.LABELED_RESPONSE,
            Capabilities.MESSAGE_TAGS,
            Capabilities.MULTI_PREFIX,
            Capabilities.SERVER_TIME,
            Capabilities.SETNAME,
        )
    )

    # The same for behaviour that no specification demands.
    optional_behaviors = frozenset(
        (
            OptionalBehaviors.BAN_EXCEPTION_MODE,
            OptionalBehaviors.CAP_REQ_MINUS,
            OptionalBehaviors.ELIST_M,
            OptionalBehaviors.ELIST_N,
            OptionalBehaviors.ELIST_U,
            OptionalBehaviors.INVITE_EXCEPTION_MODE,
            OptionalBehaviors.INVITE_OVERRIDES_LIMIT,
            OptionalBehaviors.MULTI_JOIN,
            OptionalBehaviors.MULTI_KICK,
            OptionalBehaviors.MULTI_NAMES_COMMAND,
            OptionalBehaviors.MULTI_PRIVMSG,
            OptionalBehaviors.SASL_AFTER_REGISTRATION,
            OptionalBehaviors.SASL_REAUTHENTICATION,
        )
    )

    # Tokens of 005 that must be there, with these values.
    isupport = {
        "CASEMAPPING": CASEMAPPING,
        "ACCOUNTEXTBAN": "a,account",
        "ELIST": patma.StrRe("[CMNTU]+"),
        "EXTBAN": ",Uajmnrz",
        "INVEX": "I",
        "MSGREFTYPES": "msgid,timestamp",
        "PREFIX": "(qaohv)~&@%+",
        "STATUSMSG": "~&@%+",
        "TARGMAX": patma.ANYSTR,
        "UTF8ONLY": None,
        "WHOX": None,
    }

    def run(
        self,
        hostname,
        port,
        *,
        password,
        ssl,
        run_services,
        faketime,
        websocket_hostname=None,
        websocket_port=None,
    ):
        self.create_config()
        self.hostname, self.port = hostname, port
        conf = copy.deepcopy(BASE_CONFIG)
        conf["server"]["casemapping"] = CASEMAPPING
        listener = {}
        if ssl:
            self.gen_ssl()
            listener["tls"] = {"cert": str(self.pem_path), "key": str(self.key_path)}
        conf["server"]["listeners"][f"127.0.0.1:{port}"] = listener or None
        if websocket_port:
            address = f"{websocket_hostname or '127.0.0.1'}:{websocket_port}"
            conf["server"]["listeners"][address] = {"websocket": True, **listener}
        if password is not None:
            conf["server"]["password"] = password
        conf["datastore"]["path"] = str(self.directory / "data")
        registration = conf["accounts"]["registration"]
        if self.test_config.account_registration_before_connect:
            registration["allow-before-connect"] = True
        if self.test_config.account_registration_requires_email:
            registration["email-verification"] = {"enabled": True, "sender": "test@example.com"}
        if self.test_config.ergo_config:
            self.test_config.ergo_config(conf)
        self._conf, self._faketime, self._run_services = conf, faketime, run_services
        self._write_config()
        self._start()

    def _write_config(self):
        (self.directory / "roost.toml").write_text(self.to_toml(self._conf))

    def to_toml(self, conf):
        """Roost's configuration for a configuration in the shape of Ergo's."""
        server, accounts = conf["server"], conf["accounts"]
        registration = accounts["registration"]
        plain, tls, websocket, websocket_tls, others = [], [], [], [], []
        certificate, key = "", ""
        for address, listener in server["listeners"].items():
            listener = listener or {}
            if listener.get("proxy"):
                if "tls" in listener:
                    raise NotImplementedByController("a TLS listener behind a proxy, with a certificate of its own")
                others.append(
                    {
                        "address": address,
                        "websocket": bool(listener.get("websocket")),
                        "proxy": server["proxy-allowed-from"],
                    }
                )
            elif "tls" in listener:
                certificate, key = str(listener["tls"]["cert"]), str(listener["tls"]["key"])
                (websocket_tls if listener.get("websocket") else tls).append(address)
            else:
                (websocket if listener.get("websocket") else plain).append(address)
        password = server.get("password")
        verification = registration.get("email-verification", {"enabled": False})
        toml = {
            None: {"data": conf["datastore"]["path"]},
            "server": {
                "name": server["name"],
                "network": conf["network"]["name"],
                # What irctest's other controllers call theirs.
                "description": "test server",
                "services": "My.Little.Services" if self._run_services else "",
                "workers": 1,
                "casemapping": server["casemapping"],
            },
            "listen": {
                "plain": plain,
                "tls": tls,
                "websocket": websocket,
                "websocket_tls": websocket_tls,
                "proxy_from": server.get("proxy-allowed-from", []),
            },
            "tls": {"certificate": certificate, "key": key},
            # Each test has a server of its own, which is thrown away: the disk need not be waited for.
            "store": {"sync": "normal"},
            "history": {
                "enabled": conf["history"]["enabled"],
                "chathistory_limit": conf["history"]["chathistory-maxmessages"],
                "playback_limit": conf["history"].get("znc-maxmessages", 2048),
                # What Sable has without its history server: messages of the last minute.
                "keep_for": "1m" if self._faketime and not self.test_config.sable_history_server else "",
            },
            "accounts": {
                "registration": registration["enabled"],
                "register_before_connect": registration.get("allow-before-connect", False),
                "bcrypt_cost": registration["bcrypt-cost"],
                # irctest's client hashes in Python.
                "scram_iterations": 4096,
                "always_on": accounts["multiclient"].get("always-on", "off").replace("disabled", "off"),
            },
            # The mail server of this machine, if it has one.
            "email": {
                "server": "localhost" if verification["enabled"] else "",
                "port": 25,
                "protection": "none",
                "sender": verification.get("sender", ""),
            },
            "channels": {
                "registration": conf["channels"]["registration"]["enabled"],
                "list_entries": conf["limits"]["chan-list-modes"],
            },
            "connection": {
                "password": hash_password(password) if password else "",
                # Where time runs faster, nobody is to be asked whether they are still there.
                "ping_interval": 3600 if self._faketime else 90,
            },
            "cloak": {"enabled": server.get("ip-cloaking", {}).get("enabled", False)},
            "users": {"default_modes": accounts.get("default-user-modes", "").lstrip("+")},
            "multiline": {
                "max_bytes": conf["limits"]["multiline"]["max-bytes"],
                "max_lines": conf["limits"]["multiline"]["max-lines"],
            },
            "flood": {"enabled": False},
            "throttle": {"enabled": False},
        }
        lines = []
        for section, values in toml.items():
            if section:
                lines.append(f"[{section}]")
            # Strings, numbers, booleans and lists of strings are written alike in JSON and TOML.
            lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        for listener in others:
            lines += ["[[listen.on]]"]
            lines += [f"{name} = {json.dumps(value)}" for name, value in listener.items()]
        for name in conf["opers"]:
            # irctest's only operator; its hash is of Ergo's kind, which Roost does not read.
            lines += ["[[oper]]", f"name = {json.dumps(name)}"]
            lines += [f"password = {json.dumps(hash_password('operpassword'))}"]
        return "\n".join(lines) + "\n"

    def _start(self):
        command = [BINARY, "--config", str(self.directory / "roost.toml")]
        if self._faketime and shutil.which("faketime"):
            command = ["faketime", "-f", self._faketime, *command]
            self.faketime_enabled = True
        self.proc = self.execute(command)

    def restart(self):
        self.kill_proc()
        self.port_open = False
        self._start()
        self.wait_for_port()

    def wait_for_services(self):
        # They are a part of the server.
        pass

    def registerUser(self, case, username, password=None):
        if not case.run_services:
            raise ValueError("run_services is not True")
        if len(password) > LONGEST_PASSWORD:
            raise NotImplementedByController("passwords longer than a line of REGISTER")
        client = case.addClient(show_io=False)
        case.sendLine(client, "NICK " + username)
        case.sendLine(client, "USER r e g :user")
        while case.getRegistrationMessage(client).command != "001":
            pass
        case.getMessages(client)
        case.sendLine(client, "REGISTER * * " + password)
        messages = case.getMessages(client)
        assert any(m.command == "REGISTER" and m.params[0] == "SUCCESS" for m in messages), messages
        case.sendLine(client, "QUIT")
        case.assertDisconnected(client)

    def getConfig(self):
        return copy.deepcopy(self._conf)

    def rehash(self, case, config):
        self._conf = config
        self._write_config()
        client = "operator_for_rehash"
        case.connectClient(nick=client, name=client)
        case.sendLine(client, "OPER operuser operpassword")
        case.sendLine(client, "REHASH")
        case.getMessages(client)
        case.sendLine(client, "QUIT")
        case.assertDisconnected(client)


def get_irctest_controller_class():
    return RoostController
