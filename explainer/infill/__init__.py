"""TODO infill"""
