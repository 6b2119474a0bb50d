"""The one table of tolerances. A larger number anywhere else needs a comment with its reason."""

KERNEL_IMAGE_ATOL = 1e-5  # float32 kernel against float64 reference: colour and alpha, absolute
KERNEL_GRADIENT_RTOL = 1e-4  # the same for every gradient, relative in L2
KERNEL_GRADIENT_COSINE = 0.99999
FLOAT32 = {"rtol": 1e-4, "atol": 1e-5}
FLOAT64 = {"rtol": 1e-9, "atol": 1e-10}
