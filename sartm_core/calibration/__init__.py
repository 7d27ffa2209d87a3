"""Making a registration: how thermal pixels get onto the RGB image plane.

Three ways, by what is at hand: points marked in both images (`points`), a heated board seen by both
cameras (`board`), or ordinary recordings and a rough start (`refine`). `drift` watches a
registration in use.
"""
