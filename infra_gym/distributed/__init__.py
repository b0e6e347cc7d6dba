"""Environments on many machines: each in a Ray actor of its own (extra ``ray``).

What is distributed is Ray's: its actors, their restarts and retries, its placement groups. This
package says what an actor does, and that what a lost one made is destroyed.
"""
