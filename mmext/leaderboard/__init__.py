"""Runs become records, records become tables, pages and submissions; see ``docs/leaderboard.md``."""
