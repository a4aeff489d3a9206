"""The claims ledger: what five papers assert, what here tests it, and which
verdict follows.

The list is ``claims.yaml``; `catalogue` reads it and `entry_checks` refuses
what does not fit. Evidence comes from `printed` numbers, the `architecture`
itself, or the `tables` of an edition; `rule` turns it into verdicts and `page`
shows them. `simulated_editions` have known answers, by which the rule is
tested.
"""
