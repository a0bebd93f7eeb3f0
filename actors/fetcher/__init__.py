"""A fetcher: polls its source, keeps what it fetched, sends it on demand."""
