"""The whole graph by Schemathesis: as a guest, as a shopper and as an administrator.

    fuzz.py ORIGIN [--seconds N] [--seed N]

A seed always asks the same, so that a find can be repeated; how far it gets in its
time depends on the machine. Ends with 1 when something was found, or nothing asked.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import requests

PASSWORD = "bellavista-demo"
ROLES = ("guest", "shopper", "admin")
CHECKS = (
    "negative_data_rejection",
    "response_schema_conformance",
    "answers_are_as_documented",
)


def ask(origin, query, headers=None):
    answer = requests.post(f"{origin}/graphql", json={"query": query}, headers=headers, timeout=30)
    answer.raise_for_status()
    return answer.json()["data"]


def token(origin, role):
    login = {"email": f"{role}@demo.bellavista.test", "password": PASSWORD}
    answer = requests.post(f"{origin}/api/v1/users/login", json=login, timeout=30)
    answer.raise_for_status()
    return answer.json()["accessToken"]


def an_order(origin, headers, sku):
    """Placed by the shopper, so that there is something to pay, cancel and refund."""
    order = {
        "lines": [{"sku": sku, "qty": 1}],
        "email": "shopper@demo.bellavista.test",
        "shippingAddress": {
            "name": "Fay Fuzz", "line1": "1 Random Road", "city": "Springfield",
            "postalCode": "12345", "country": "US",
        },
    }
    keyed = {**headers, "Idempotency-Key": f"fuzz-{random.getrandbits(64):016x}"}
    answer = requests.post(f"{origin}/api/v1/orders", json=order, headers=keyed, timeout=30)
    answer.raise_for_status()
    return answer.json()["orderId"]


def known_ids(origin, tokens):
    """Products, an order, accounts: by either form of their ids."""
    products = ask(origin, "{ products(filter: { first: 5, available: true }) { id productId variants { sku } } }")
    products = products["products"]
    shopper = {"Authorization": f"Bearer {tokens['shopper']}"}
    order = an_order(origin, shopper, products[0]["variants"][0]["sku"])
    me = ask(origin, "{ me { id userId } }", shopper)["me"]
    known = [id for product in products for id in (product["id"], product["productId"])]
    return [*known, order, f"Order:{order}", me["id"], me["userId"]]


def fuzz(origin, role, bearer, known, seconds, seed, patient=True):
    """Whether something was asked and nothing found."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{origin}/graphql",
        "--checks", ",".join(CHECKS), "--max-time", str(seconds), "--seed", str(seed),
        "--continue-on-failure", "--request-timeout", "20", "--workers", "1",
    ]
    if bearer:
        command += ["--header", f"Authorization: Bearer {bearer}"]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "hooks",
        "PYTHONPATH": str(Path(__file__).parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_PROXY": "127.0.0.1",
        "BV_FUZZ_KNOWN": json.dumps(known),
    }
    # It leaves notes of its own where it is started.
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    operations = counted(r"Tested: (\d+)", ended.stdout)
    cases = counted(r"(\d+) generated", ended.stdout)
    if ended.returncode == 0 and cases == 0 and patient:
        # A busy machine spends the time on starting Python.
        return fuzz(origin, role, bearer, known, 6 * seconds, seed, patient=False)
    clean = ended.returncode == 0 and cases > 0
    print(
        f"{'ok ' if clean else 'BAD'} {role}: {cases} cases of {operations} operations in {seconds} s",
        flush=True,
    )
    if not clean:
        print(ended.stdout, ended.stderr, sep="\n", flush=True)
    return clean


def counted(pattern, said):
    found = re.search(pattern, said)
    return int(found[1]) if found else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("origin")
    parser.add_argument("--seconds", type=int, default=60, help="for all roles together")
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    seed = random.getrandbits(32) if args.seed is None else args.seed
    os.environ["NO_PROXY"] = "127.0.0.1"
    print(f"seed {seed}", flush=True)
    tokens = {role: token(args.origin, role) for role in ROLES if role != "guest"}
    known = known_ids(args.origin, tokens)
    each = max(args.seconds // len(ROLES), 1)
    clean = [fuzz(args.origin, role, tokens.get(role), known, each, seed) for role in ROLES]
    sys.exit(0 if all(clean) else 1)


if __name__ == "__main__":
    main()
