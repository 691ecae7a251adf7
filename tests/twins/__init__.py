"""Twins: for each recipe a tiny model of its architecture and a tiny set in its dataset's format, all made offline."""
