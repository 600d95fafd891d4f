"""What a person reads of a run: tables for the terminal, sheets of captioned pictures, training curves."""
