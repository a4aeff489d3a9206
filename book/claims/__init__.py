"""The claims ledger: what five papers assert, what here tests it, and what
comes out.
"""
