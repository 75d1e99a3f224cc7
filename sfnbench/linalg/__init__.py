"""Linear algebra of curvature matrices: Krylov subspaces, spectra, and |H|^-1 g."""
