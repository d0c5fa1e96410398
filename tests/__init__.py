"""The tests of l3mail."""
