"""Verify folders from the command line.

python -m mmssl.ledger data book figures
"""

import sys

from mmssl.ledger.verify import verify


def main(folders: list[str]) -> int:
    """Print what is not as it was made; return the exit status."""
    reasons = []
    for folder in folders:
        reasons += [f"{folder}/{reason}" for reason in verify(folder)]
    for reason in reasons:
        print(reason, file=sys.stderr)
    if not reasons:
        print(f"all files of {', '.join(folders)} are those that were made")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
