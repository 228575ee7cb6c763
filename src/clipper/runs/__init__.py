"""Runs: made, trained, saved, resumed, loaded, evaluated."""
