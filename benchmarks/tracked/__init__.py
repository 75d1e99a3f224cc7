"""What asv tracks over commits: costs only, for it takes lower as better.

`asv run --python=same --quick --dry-run` tries it in the present environment, `asv continuous -f
1.3 HEAD~1 HEAD` compares two commits, each in an environment with the torch of asv.conf.json. The
suites here are those of the working tree, whatever the commit. asv passes over NaN and chokes on
infinity, so what never came has a price, and what broke is counted; see `racing`."""
