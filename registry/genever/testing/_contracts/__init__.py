"""The contracts: what a part of each slot promises. A module for each slot, and `part` for what every part promises.

Every public function of a module is one contract: it takes a `Case`, and fails by an assertion.
"""
