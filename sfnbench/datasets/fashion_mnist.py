"""Fashion-MNIST: 60,000 + 10,000 grey photographs of ten kinds of clothing, 28x28.

The original files. In the form and the size of MNIST, and harder. Xiao, Rasul, Vollgraf 2017,
"Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms".
"""

from ._idx import like_mnist

FASHION_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
)
FASHION_SUMS = {
    "train-images-idx3-ubyte.gz": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        26_421_880,
    ),
    "train-labels-idx1-ubyte.gz": (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        29_515,
    ),
    "t10k-images-idx3-ubyte.gz": (
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        4_422_102,
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        5_148,
    ),
}
DATASET = like_mnist("fashion_mnist", FASHION_SUMS, FASHION_MIRRORS, terms="MIT")
