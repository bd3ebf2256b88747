"""Losses that compare a student's record with a teacher's."""
