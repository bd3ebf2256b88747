"""Metrics that the hosts lack or make people wait for, and what a number is made of."""
