"""Scales, ticks and curves as SVG."""
