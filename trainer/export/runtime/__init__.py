"""What programs are made of: files whose functions are copied into them as they stand.

They need NumPy alone. `facts.py` and `model.py` are those of an example, y = a + 2 b; a program has
its own model's in their place.
"""
