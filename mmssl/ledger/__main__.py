"""Verify folders from the command line.

python -m mmssl.ledger data book figures
"""

import sys

from mmssl.ledger.stale_files import stale_files
from mmssl.ledger.verify import faults


def main(folders: list[str]) -> int:
    """Print what is not as it was made, and what would be made otherwise now;
    return the exit status: 1 for the first alone.
    """
    altered = faults(*folders)
    stale = stale_files(folders, altered)
    for place, reasons in altered.items():
        folder = place if place.is_dir() else place.parent
        for reason in reasons:
            print(f"{folder}: {reason}", file=sys.stderr)
    for place, reasons in stale.items():
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        print(f"{place} is stale: {reasons[0]}{more}", file=sys.stderr)
    if not altered:
        print(f"all files of {', '.join(folders)} are those that were made")
    return 1 if altered else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
