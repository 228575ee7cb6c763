"""Exercises to the pages of the walk, and what tells a right answer from an almost right one."""

from clipper.exercises.catalogue import PAGES, exercises
from clipper.exercises.exercise import Exercise, Mistake, Verdict, Words, judge

__all__ = ["PAGES", "Exercise", "Mistake", "Verdict", "Words", "exercises", "judge"]
