"""Run every step against a server and print a line of JSON for each; exit status 1 when one failed.

Runs unchanged under openai 2.x and 3.x: python tests/conformance/clients/python --base-url URL --mode sync|async …
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import inventory
import openai

# Importing the modules enters their steps.
import steps_chat
import steps_conversations
import steps_files
import steps_models
import steps_responses
import steps_responses_state
import steps_stores
import steps_transport
import steps_uploads
from kit import STEPS, Kit, done, where

_MODULES = (
    steps_files,
    steps_uploads,
    steps_models,
    steps_stores,
    steps_responses,
    steps_responses_state,
    steps_conversations,
    steps_chat,
    steps_transport,
)


async def run(client: Any, options: argparse.Namespace) -> bool:
    """Return whether every step passed."""
    kit = Kit(client, run=f"{openai.__version__}-{options.mode}", manual=options.manual)
    order = {module.__name__: position for position, module in enumerate(_MODULES)}
    wanted = [one for one in STEPS if options.only is None or options.only in f"{one.__module__}.{one.__name__}"]
    passed = [await attempt(one, kit) for one in sorted(wanted, key=lambda one: order[one.__module__])]
    say(methods=inventory.methods(client), called=sorted(kit.called), sdk=f"openai-python {openai.__version__}")
    await done(client.close())
    return all(passed)


async def attempt(one: Any, kit: Kit) -> bool:
    started = time.perf_counter()
    name = f"{one.__module__.removeprefix('steps_')}: {one.__name__.replace('_', ' ')}"
    try:
        await one(kit)
    except Exception as error:  # noqa: BLE001 - Whatever it is, it is the outcome of the step.
        say(step=name, ok=False, error=f"{type(error).__name__}: {error}"[:1500], at=where(error))
        return False
    say(step=name, ok=True, seconds=round(time.perf_counter() - started, 3))
    return True


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201 - The program's output.


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--api-key", default="none")
    parser.add_argument("--mode", choices=("sync", "async"), required=True)
    parser.add_argument("--manual", type=Path, required=True, help="a PDF: its pages and boxes are looked for")
    parser.add_argument("--only", help="run the steps whose name contains this")
    options = parser.parse_args()
    kind = openai.AsyncOpenAI if options.mode == "async" else openai.OpenAI
    client = kind(base_url=options.base_url, api_key=options.api_key, max_retries=0, timeout=60)
    return 0 if asyncio.run(run(client, options)) else 1


if __name__ == "__main__":
    sys.exit(main())
