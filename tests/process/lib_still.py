# Prints JSON from standard input with sorted keys, a line each, without what changes from one look to the next.
import json
import sys

MOVES = {"beat_age_ns", "uptime_ns", "expires_in_ns", "members", "rounds", "next", "started", "finished", "done", "cancelled", "failed",
         "failures", "attempts", "restarts", "stuck_ns", "now_ns", "oldest_ns"}


def still(value):
    if isinstance(value, dict):
        return {k: still(v) for k, v in value.items() if k not in MOVES}
    return [still(v) for v in value] if isinstance(value, list) else value


print(json.dumps(still(json.load(sys.stdin)), indent=1, sort_keys=True))
