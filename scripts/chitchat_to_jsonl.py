#!/usr/bin/env python3
"""Turns the dialogues of the chitchat-dataset package into rows that evenkeel reads.

    scripts/chitchat_to_jsonl.py DATASET_JSON OUT_JSONL

Each row is {"messages": [{"role": "user" | "assistant", "content": ...}, ...]}. In the package the messages of a
conversation are grouped by who wrote them, so groups take turns: the first person becomes the user, the second the
assistant, and the messages of a group are joined by line breaks. A conversation ends with the assistant, because there
is nothing to learn from a question without an answer.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

ROLES = ("user", "assistant")


def dialogue(groups: list) -> list:
    """The turns of one conversation; empty when there is no exchange in it."""
    turns = [
        {"role": ROLES[index % 2], "content": "\n".join(message["text"] for message in group)}
        for index, group in enumerate(groups)
    ]
    return turns[: len(turns) // 2 * 2]


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: chitchat_to_jsonl.py DATASET_JSON OUT_JSONL", file=sys.stderr)
        return 2
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    conversations = json.loads(source.read_text(encoding="utf-8"))
    partial = target.with_name(target.name + ".tmp")
    written = 0
    with open(partial, "w", encoding="utf-8") as out:
        for conversation in conversations.values():
            turns = dialogue(conversation["messages"])
            if turns:
                out.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
                written += 1
    os.replace(partial, target)
    print(f"{written} dialogues in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
