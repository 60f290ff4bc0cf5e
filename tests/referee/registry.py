#!/usr/bin/env python3
"""What the registry behind the referee holds, how it is asked, and what came of it.

    registry.py seed N                    the objects as RPSL: one for each lookup, and their maintainer
    registry.py lookups N                 the lookups, a JSON object a line; `ref` is a line of the right answer
    registry.py names N                   the same of domain names, for the pretended whois server
    registry.py answers FILE N            whether each of the N results in FILE is the right object
    registry.py referee SOCKET CALLS UNITS PERIOD
                                          HAProxy's own count: at least CALLS calls, none refused
    registry.py bites SOCKET UNITS PERIOD the same, and something must have been refused

The last three print what they see and end with 1 if it is not so.
"""

import ipaddress
import json
import socket
import sys

V4 = int(ipaddress.ip_address("198.18.0.0"))  # RFC 2544, for benchmarks: a /28 each
V6 = int(ipaddress.ip_address("2001:db8::"))  # RFC 3849, for documentation: a /48 each
AUTNUM = 4200000000  # RFC 6996, for private use
MOST = 5 * 8192  # five kinds of object, and 198.18.0.0/15 has 8192 times a /28


def thing(n):
    """The n-th object: the kind of its lookup, the target, the line that shows the right answer, and all its lines."""
    kind, n = n % 5, n // 5
    origin = f"AS{AUTNUM + n}"
    contacts = [("admin-c", f"EP{n}-EGRET"), ("tech-c", f"EP{n}-EGRET")]
    if kind == 0:
        lines = [("aut-num", origin), ("as-name", f"EGRET-{n}"), ("descr", "Made up"), *contacts]
        return "asn", origin, lines[0], lines
    if kind == 1:
        network = ipaddress.ip_network((V4 + (n << 4), 28))
        lines = [("route", str(network)), ("descr", "Made up"), ("origin", origin)]
        return "ip", str(network[n % 16]), lines[0], lines
    if kind == 2:
        network = ipaddress.ip_network((V6 + (n << 80), 48))
        lines = [("route6", str(network)), ("descr", "Made up"), ("origin", origin)]
        return "ip", str(network), lines[0], lines
    if kind == 3:
        name = f"EGRET{n}-MNT"
        lines = maintainer(name, contacts)
        return "whois", name, lines[0], lines
    handle = ("nic-hdl", f"EP{n}-EGRET")
    address = [("address", f"{n} Example Street"), ("phone", "+31 20 555 0100"), ("e-mail", f"n{n}@example.net")]
    return "entity", handle[1], handle, [("person", f"Made Up {n}"), *address, handle]


def maintainer(name, contacts):
    return [("mntner", name), ("descr", "Made up"), *contacts, ("upd-to", "noc@example.net"), ("auth", "NONE")]


def rpsl(lines):
    lines = [*lines, ("mnt-by", "EGRET-MNT"), ("source", "EGRET")]
    return "".join(f"{key + ':':<16}{value}\n" for key, value in lines)


def seed(objects):
    print(rpsl(maintainer("EGRET-MNT", [("admin-c", "EP0-EGRET"), ("tech-c", "EP0-EGRET")])))
    for n in range(int(objects)):
        print(rpsl(thing(n)[-1]))


def lookups(count):
    if int(count) > MOST:
        sys.exit(f"{count} lookups are more than the {MOST} objects that there are names for")
    for n in range(int(count)):
        kind, target, (key, value), _ = thing(n)
        print(json.dumps({"lookup": kind, "target": target, "ref": f"{key}: {value}"}))


def names(count):
    for n in range(int(count)):
        print(json.dumps({"lookup": "domain", "target": f"name{n}.example", "ref": f"domain: name{n}.example"}))


def answers(path, count):
    right, wrong = set(), []
    with open(path, encoding="utf-8") as results:
        for job in map(json.loads, results):
            answer = job.get("answer") or {}
            lines = {" ".join(line.split()) for line in answer.get("raw", "").splitlines()}
            if answer.get("outcome") == "found" and job["ref"] in lines:
                right.add(job["ref"])
            else:
                wrong.append(job)
    print(f"egret: {len(right)} of {count} lookups found the object asked for")
    for job in wrong[:3]:
        print(json.dumps(job), file=sys.stderr)
    return len(right) == int(count) and not wrong


def referee(path, calls, units, period):
    rows = table(path)
    show(rows, units, period)
    within = all(row["gpc0"] == 0 and row["gpt0"] <= int(units) for row in rows)
    return within and sum(row["conn_cnt"] for row in rows) >= int(calls)


def bites(path, units, period):
    rows = table(path)
    show(rows, units, period)
    return any(row["gpc0"] for row in rows)


def table(path):
    """HAProxy's stick table: a row for each address."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(path)
        control.sendall(b"show table whois\n")
        text = b"".join(iter(lambda: control.recv(65536), b"")).decode()
    rows = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in text.splitlines()]
    return [{key: int(row[key]) for key in ("conn_cnt", "gpc0", "gpt0")} for row in rows if "conn_cnt" in row]


def show(rows, units, period):
    calls, refused = (sum(row[key] for row in rows) for key in ("conn_cnt", "gpc0"))
    most = max((row["gpt0"] for row in rows), default=0)
    print(
        f"HAProxy, {units} per {period}: {len(rows)} addresses, {calls} connections, "
        f"the highest rate let in {most}, {refused} refused"
    )


if __name__ == "__main__":
    verbs = {verb.__name__: verb for verb in (seed, lookups, names, answers, referee, bites)}
    if len(sys.argv) < 2 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    sys.exit(verbs[sys.argv[1]](*sys.argv[2:]) is False)
