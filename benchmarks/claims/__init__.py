"""The talk's claims, one by one, from stored results: docs/claims.md."""
