/* Prints the value of Rosenbrock's function for the options --x and --y as a JSON object with a metric. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"x", required_argument, NULL, 'x'}, {"y", required_argument, NULL, 'y'}, {NULL, 0, NULL, 0}};
    double x = 0.0, y = 0.0;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'x') {
            x = strtod(optarg, NULL);
        } else if (option == 'y') {
            y = strtod(optarg, NULL);
        } else {
            return 2; /* getopt_long has printed the reason */
        }
    }
    double valley = y - x * x;
    printf("{\"value\": %.17g, \"distance\": %.17g}\n", 100.0 * valley * valley + (1.0 - x) * (1.0 - x),
           hypot(x - 1.0, y - 1.0));
    return 0;
}
