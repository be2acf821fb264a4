"""The two DynamoDB tables: the catalog and the ledger."""
