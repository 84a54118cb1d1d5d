"""TODO modules"""
