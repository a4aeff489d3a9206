"""The claims ledger: what five papers assert, what here tests it, and what comes out.

    book/claims.yaml --catalogue--> claims --tests--> findings --verdicts--> a verdict each

`catalogue` reads and checks the list, `printed` and `tables` hold the tests, `verdicts` the one
rule that turns an interval into a verdict, `worlds` simulates editions whose truth is known, and
`page` is the filterable table.
"""

from mmssl.claims.catalogue import Claim, Paper, load, read
from mmssl.claims.evidence import Found, NotInEdition, Region
from mmssl.claims.page import filterable
from mmssl.claims.verdicts import VERDICTS, assess, counts, verdict

__all__ = [
    "VERDICTS", "Claim", "Found", "NotInEdition", "Paper", "Region", "assess", "counts",
    "filterable", "load", "read", "verdict",
]
