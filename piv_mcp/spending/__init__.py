"""The money gate: quote, approval by a person, journal, execution, reconciliation.

tool ─> gate.perform(action) ─> quote ─> policy ─┬─ budget ──────────────┬─> execute once ─> journal
                                                 └─ approval by a person ┘        │
                                    reconcile <─ if the answer was lost ──────────┘
"""
