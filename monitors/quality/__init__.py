"""The pyramid on a sample (safety on everything): scorers, the judge, operations, comparisons."""
