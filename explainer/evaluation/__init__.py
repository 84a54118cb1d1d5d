"""TODO evaluation"""
