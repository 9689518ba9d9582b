"""Checkpoints with hash weights: every family, every form. tools/make_checkpoint.py is the command."""
