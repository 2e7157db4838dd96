"""Tests of evidence, prototypes and clusters of new classes."""
