"""config/ai-endpoint.toml as its clients see it: curl, a WebSocket client and a browser, through the weir that serves it, to a service on uvicorn.

    clients.py WORK ROOT WEIR        in WORK lie ca.crt, and ecdsa.crt and ecdsa.key for NAME

Every check is one line of what it saw; all that failed are told, and then the exit status is 1."""

import asyncio
import base64
import hashlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import websockets
from websockets.asyncio.client import connect

NAME = "ai.test"
WORK, ROOT, WEIR = (Path(argument) for argument in sys.argv[1:4])
CHROMIUM = os.environ.get("CHROMIUM_BIN", "/usr/bin/chromium")
SECURITY = {"x-frame-options": "DENY", "x-content-type-options": "nosniff", "x-xss-protection": "1; mode=block"}
HSTS = {"strict-transport-security": "max-age=31536000; includeSubDomains"}
# nginx's proxy_read_timeout 90s.
PAUSE = 90

checks = 0
failures: list[str] = []


def check(what: str, seen, expected=True) -> None:
    global checks
    checks += 1
    if seen != expected:
        failures.append(f"{what}: {seen!r}, not {expected!r}")
        print("edge: FAILED:", failures[-1], flush=True)


class Part:
    """A program that says where it listens; ended with this one."""

    started: list["Part"] = []

    def __init__(self, name: str, *command: str, **environment: str) -> None:
        self.log = WORK / f"{name}.log"
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | environment)
        Part.started.append(self)

    def said(self, pattern: str) -> list[str]:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if found := re.findall(pattern, self.log.read_text()):
                return found
            if self.child.poll() is not None:
                break
            time.sleep(0.02)
        raise SystemExit(f"edge: nobody said {pattern}:\n{self.log.read_text()}")


class Answer:
    """What `curl --include` printed."""

    def __init__(self, text: bytes) -> None:
        head, _, self.body = text.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        self.version, self.status = line.split(" ")[0], int(line.split(" ")[1])
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header.lower() == name]


def curl_command(*arguments: str) -> list[str]:
    ours = ["--silent", "--max-time", "150", "--cacert", str(WORK / "ca.crt")]
    for port, address in (80, http), (443, https):
        ours += ["--connect-to", f"{NAME}:{port}:{address}", "--connect-to", f"other.test:{port}:{address}"]
    return ["curl", *ours, *arguments]


def curl(*arguments: str) -> Answer:
    done = subprocess.run(curl_command("--include", *arguments), capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"edge: curl {' '.join(arguments)} ended with {done.returncode}: {done.stderr.decode()}")
    return Answer(done.stdout)


def has_security(what: str, answer: Answer, https: bool = True) -> None:
    for name, value in (SECURITY | HSTS).items():
        expected = [] if name in HSTS and not https else [value]
        check(f"{what}: {name}", answer.all(name), expected)


def redirect() -> None:
    for host in NAME, "other.test":
        answer = curl(f"http://{host}/v1/chat?stream=1")
        check(f"http://{host}", (answer.status, answer.all("location")), (301, [f"https://{NAME}/v1/chat?stream=1"]))
        has_security(f"http://{host}", answer, https=False)
    posted = curl("--data", "x=1", f"http://{NAME}/v1/chat")
    check("a POST in clear", posted.status, 301)
    followed = subprocess.run(curl_command("--location", "--write-out", "%{http_code} %{url_effective}", "--output", "/dev/null", f"http://{NAME}/headers?a"), capture_output=True)
    check("the redirect followed", followed.stdout, f"200 https://{NAME}/headers?a".encode())


def versions() -> None:
    for tls in "1.2", "1.3":
        for flag, version in ("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2"):
            answer = curl(f"--tlsv{tls}", "--tls-max", tls, flag, f"https://{NAME}/headers")
            check(f"TLS {tls} {flag}", (answer.status, answer.version), (200, version))
            has_security(f"TLS {tls} {flag}", answer)
    old = subprocess.run(curl_command("--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", f"https://{NAME}/"), capture_output=True)
    check("TLS 1.1 is refused in the handshake", old.returncode, 35)
    stranger = subprocess.run(["curl", "--silent", "--connect-to", f"{NAME}:443:{https}", f"https://{NAME}/"], capture_output=True)
    check("the certificate is the authority's, which curl does not know by itself", stranger.returncode, 60)


def security() -> None:
    for flag in "--http1.1", "--http2":
        for target, status in ("/", 200), ("/status/201", 201), ("/status/404", 404), ("/status/500", 500), ("/status/503", 503), ("/none", 404), ("/a%2fb", 400), ("/..%2fb", 400):
            answer = curl(flag, "--path-as-is", f"https://{NAME}{target}")
            check(f"{flag} {target}", answer.status, status)
            has_security(f"{flag} {target}", answer)
        answer = curl(flag, "https://other.test/", "--insecure")
        check(f"{flag} another host", answer.status, 404)
        has_security(f"{flag} another host", answer)
        answer = curl(flag, "--request", "TRACE", f"https://{NAME}/")
        check(f"{flag} TRACE", answer.status, 405)
        has_security(f"{flag} TRACE", answer)
        answer = curl(flag, "--head", f"https://{NAME}/")
        check(f"{flag} HEAD", (answer.status, answer.body), (200, b""))
        has_security(f"{flag} HEAD", answer)


def forwarded() -> None:
    claims = ["--header", "X-Forwarded-For: 6.6.6.6", "--header", "X-Forwarded-Proto: http", "--header", "X-Real-IP: 6.6.6.6", "--header", "X_Real_IP: 6.6.6.6"]
    for flag in "--http1.1", "--http2":
        answer = curl(flag, *claims, f"https://{NAME}/headers?x=%2f")
        seen = json.loads(answer.body)
        check(f"{flag} target", seen["target"], "/headers?x=%2f")
        for name, value in ("host", NAME), ("x-real-ip", "127.0.0.1"), ("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "https"), ("x-forwarded-host", NAME):
            check(f"{flag} {name}", [one for header, one in seen["headers"] if header == name], [value])
        check(f"{flag} underscores", [name for name, _ in seen["headers"] if "_" in name], [])
    # One worker or more, each keeps a connection: far fewer than one for each request.
    count = json.loads([curl(f"https://{NAME}/headers").body for _ in range(30)][-1])["connections"]
    check("upstream connections are kept", count <= 2 * (os.cpu_count() or 1), True)


def bodies() -> None:
    for length in 0, 1, 100_000, 5_000_000:
        content = os.urandom(length)
        (WORK / "body").write_bytes(content)
        for flags in (["--http1.1"], ["--http2"], ["--http1.1", "--header", "Transfer-Encoding: chunked"]):
            answer = curl(*flags, "--header", "Expect:", "--request", "POST", "--data-binary", f"@{WORK / 'body'}", f"https://{NAME}/digest")
            check(f"{flags} {length} bytes", json.loads(answer.body), {"sha256": hashlib.sha256(content).hexdigest(), "length": length})


def streams() -> None:
    """Each event is here before the next is sent."""
    for number, flag in enumerate(["--http1.1", "--http2"]):
        child = subprocess.Popen(curl_command("--no-buffer", flag, f"https://{NAME}/events/curl{number}"), stdout=subprocess.PIPE)
        for event, following in ("first", "second"), ("second", "third"), ("third", "end"):
            check(f"{flag} {event} event", child.stdout.readline() + child.stdout.readline(), f"data: {event}\n\n".encode())
            curl("--request", "POST", f"https://{NAME}/release/curl{number}/{following}")
        check(f"{flag} the stream's end", (child.stdout.read(), child.wait()), (b"", 0))


def health() -> None:
    for url in f"https://{NAME}/healthz", "https://other.test/healthz":
        answer = curl("--insecure", url)
        check(url, (answer.status, answer.body), (200, b"ok\n"))
        has_security(url, answer)
    curl(f"https://{NAME}/status/299")
    end = time.monotonic() + 10
    while "/status/299" not in (lines := access_log.read_text()) and time.monotonic() < end:
        time.sleep(0.02)
    check("an exchange is logged", "/status/299" in lines)
    check("/healthz is not", "/healthz" in lines, False)


async def sockets() -> None:
    trusted = ssl.create_default_context(cafile=str(WORK / "ca.crt"))
    host, port = https.split(":")

    def to(path: str, **keys):
        return connect(f"wss://{NAME}{path}", host=host, port=int(port), ssl=trusted, **{"max_size": None} | keys)

    for compression in None, "deflate":
        async with to("/ws", compression=compression, subprotocols=["other", "chat"]) as socket:
            check("the subprotocol", socket.subprotocol, "chat")
            check("the extension", [type(one).__name__ for one in socket.protocol.extensions], [] if compression is None else ["PerMessageDeflate"])
            answer = Answer(b"HTTP/1.1 101\r\n" + "\r\n".join(f"{name}: {value}" for name, value in socket.response.headers.raw_items()).encode())
            has_security("the handshake", answer)
            for length in 0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20, 1 << 23:
                for message in os.urandom(length), "é" * (length // 2):
                    await socket.send(message)
                    check(f"an echo of {length} {type(message).__name__}", await socket.recv() == message)
            await socket.send(["in ", "three ", "frames"])
            check("a message in frames", await socket.recv(), "in three frames")
            pong = await socket.ping(b"word")
            check("a pong", await asyncio.wait_for(pong, 10) < 10)
            # Four of the service's own pings pass; the library answers them, or the service would have closed.
            await asyncio.sleep(2)
            await socket.send("still here")
            check("after a pause", await socket.recv(), "still here")
    for code, reason in (1000, "done"), (1001, "going"), (1011, "broken"), (4001, "of our own é"):
        async with to("/ws") as socket:
            await socket.send(f"close {code} {reason}")
            await socket.wait_closed()
            check("the service's code", (socket.close_code, socket.close_reason), (code, reason))
    for code in 1000, 4002:
        async with to("/ws") as socket:
            await socket.close(code, "ours")
    # A client that is simply gone looks to the service as it does without weir.
    for gone in to("/ws"), connect(f"ws://{address}/ws"):
        async with gone as socket:
            socket.transport.abort()
    end = time.monotonic() + 10
    while len(codes := json.loads(curl(f"https://{NAME}/closed").body)) < 6 and time.monotonic() < end:
        await asyncio.sleep(0.02)
    check("the client's codes", sorted(codes)[:3] + sorted(codes)[-1:], [1000, 1000, 1000, 4002])
    check("clients that are gone", len(codes) == 6 and len(set(codes)) == 3)
    try:
        async with to("/ws/refused"):
            check("a refused handshake", "it was granted")
    except websockets.InvalidStatus as refused:
        check("a refused handshake", refused.response.status_code, 403)
        has_security("a refused handshake", Answer(b"HTTP/1.1 403\r\n" + "\r\n".join(f"{name}: {value}" for name, value in refused.response.headers.raw_items()).encode()))
    async with to("/ws/headers", additional_headers={"X-Forwarded-For": "6.6.6.6"}) as socket:
        seen = json.loads(await socket.recv())
        check("the handshake's headers", [seen.get(name) for name in ("host", "x-real-ip", "x-forwarded-for", "x-forwarded-proto")], [NAME, "127.0.0.1", "127.0.0.1", "https"])

    async def one(number: int) -> bool:
        async with to("/ws") as socket:
            for turn in range(20):
                await socket.send(f"{number} {turn}")
                if await socket.recv() != f"{number} {turn}":
                    return False
        return True

    check("fifty at once", await asyncio.gather(*(one(number) for number in range(50))), [True] * 50)


def browser() -> None:
    """Chromium believes this one key; it is told where the name's ports are."""
    key = subprocess.run(["openssl", "x509", "-in", str(WORK / "ecdsa.crt"), "-pubkey", "-noout"], capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, capture_output=True, check=True).stdout
    arguments = [str(ROOT), CHROMIUM, NAME, http, https, base64.b64encode(hashlib.sha256(der).digest()).decode()]
    done = subprocess.run(["node", str(ROOT / "tests/edge/browser.mjs"), *arguments], capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        failures.append(f"the browser: {done.stdout.decode()}{done.stderr.decode()}")
        return
    for what, seen, expected in json.loads(done.stdout):
        check(f"browser: {what}", seen, expected)


class Pauses:
    """An upstream that says nothing, before its head and after it: both are given up after nginx's 90 s and not before. The others run meanwhile."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        out = ["--output", "/dev/null", "--write-out", "%{http_code} %{time_total}"]
        start = lambda path: subprocess.Popen(curl_command("--http1.1", *out, f"https://{NAME}{path}"), stdout=subprocess.PIPE)
        self.silent, self.stalled = start("/silent"), start("/stalled")

    def end(self) -> None:
        for what, child, status, code in ("before the head", self.silent, "504", 0), ("within a body", self.stalled, "200", 18):
            status_seen, _, seconds = child.communicate()[0].decode().partition(" ")
            check(f"a pause {what}", (status_seen, child.returncode), (status, code))
            check(f"a pause {what} of {seconds} s", PAUSE - 1 < float(seconds) < PAUSE + 15)


# Ended by whoever started it, it ends what it has started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("edge: interrupted"))
try:
    service = Part("service", sys.executable, str(ROOT / "tests/edge/upstream.py"), PYTHONDONTWRITEBYTECODE="1")
    [address] = service.said(r"listening on (\S+)")
    access_log = WORK / "clients-access.log"
    weir = Part(
        "clients-weir", str(WEIR), "run", "--config", str(ROOT / "config/ai-endpoint.toml"),
        SERVER_NAME=NAME, WEIR_HTTP="127.0.0.1:0", WEIR_HTTPS="127.0.0.1:0", WEIR_ADMIN="127.0.0.1:0", WEIR_LOG=str(access_log),
        ENDPOINT_ADDRESS=address, CERTIFICATE=str(WORK / "ecdsa.crt"), CERTIFICATE_KEY=str(WORK / "ecdsa.key"),
    )  # fmt: skip
    [https], [http] = weir.said(r"listening on https://(\S+)"), weir.said(r"listening on http://(\S+)")
    pauses = Pauses()
    for part in redirect, versions, security, forwarded, bodies, streams, health:
        part()
    print(f"edge: curl: {checks} checks", flush=True)
    before = checks
    asyncio.run(sockets())
    print(f"edge: websockets {websockets.__version__}: {checks - before} checks", flush=True)
    before = checks
    browser()
    print(f"edge: browser: {checks - before} checks", flush=True)
    pauses.end()
    check("weir still runs", weir.child.poll(), None)
    check("weir has nothing to complain of", [line for line in weir.log.read_text().splitlines() if "ERROR" in line or "panicked" in line], [])
finally:
    for part in reversed(Part.started):
        part.child.terminate()
        part.child.wait()
if failures:
    raise SystemExit(f"edge: {len(failures)} of {checks} checks failed")
