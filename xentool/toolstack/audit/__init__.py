"""The audit of the store: is everything in it as toolstacks leave it, and does it fit the domains that run?

`facts` is what is known, `rules` the table of what is checked, `run` the way from a host to findings. All but
`run` are pure: a snapshot in, findings out.
"""
