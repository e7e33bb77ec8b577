"""A mail server that is not ours (aiosmtpd), for tests. Told what to do by a JSON object as its argument; says its port, and
then a JSON object per message it took, read by Python's own parser. Ends when its input does.

certificate, key: PEM files; tls: "starttls" (required), "implicit" or "none"; auth: [user, password]; size: the limit it
announces; refuse: {address: code}; greylist: puts every address off once."""

import asyncio, base64, email, email.policy, json, ssl, sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

wanted = json.loads(sys.argv[1])


def say(what):
    print(json.dumps(what), flush=True)


class Handler:
    seen = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in wanted.get("refuse", {}):
            return f"{wanted['refuse'][address]} no mail for this address"
        if wanted.get("greylist") and address not in self.seen:
            self.seen.add(address)
            return "451 come back later"
        envelope.rcpt_tos.append(address)
        return "250 go on"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        say({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": server.transport.get_extra_info("cipher") is not None,
            "user": session.auth_data.login.decode() if session.auth_data else None,
            "raw": base64.b64encode(envelope.content).decode(),
            "message_id": mail["Message-ID"],
            "subject": mail["Subject"],
            "text": mail.get_body().get_content(),
            "files": [[part.get_filename(), base64.b64encode(part.get_content()).decode()] for part in mail.iter_attachments()],
            "defects": [str(defect) for part in mail.walk() for defect in part.defects],
        })
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    user, password = wanted["auth"]
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode())
    return AuthResult(success=right, handled=False, auth_data=data if right else None)


async def serve():
    tls = wanted.get("tls", "none")
    context = None
    if tls != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(wanted["certificate"], wanted["key"])
    options = {}
    if tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if "auth" in wanted:
        options |= {"auth_required": True, "auth_require_tls": tls == "starttls", "authenticator": authenticate}
    if "size" in wanted:
        options["data_size_limit"] = wanted["size"]
    loop = asyncio.get_running_loop()
    handler = Handler()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="real.example", loop=loop, **options),
        "127.0.0.1",
        0,
        ssl=context if tls == "implicit" else None,
    )
    say({"port": server.sockets[0].getsockname()[1]})
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(serve())
