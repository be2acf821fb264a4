"""The two DynamoDB tables: the catalog and the ledger.

`catalog.table` writes conditionally and retries throttled calls; `ledger.items` makes one try per call. `values` has
what both tables store in the same form.
"""
