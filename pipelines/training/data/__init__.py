"""Rows to tokens and labels: truncation, packing, and the ledger of every row."""
