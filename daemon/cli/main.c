/* The command `lamina`: finds the subcommand in one table and runs it. What a command does is in its own
 * file. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/rnn/kernels/cpu.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/completion.h"

/* In the order in which `lamina help` lists them. */
#define REMOTE                                                                                               \
    "  --url URL     root of the server; default: $LAMINA_URL, else http://127.0.0.1:8080\n"                 \
    "  --json        print the answer of the server as JSON\n"                                               \
    "\nA bearer token is taken from $LAMINA_TOKEN.\n"
#define LISTED                                                                                               \
    "  --state S     only those in this state\n"                                                             \
    "  --limit N     at most so many, the newest first; default: 100\n"

static int run_help(int argc, char **argv);
static int run_completion(int argc, char **argv);

static const lam_cli_command commands[] = {
    {"status", "[--json]", "show what the daemon is doing", REMOTE, lam_cli_status},
    {"studies", "[--state S] [--limit N] [--json]", "list studies", LISTED REMOTE, lam_cli_studies},
    {"results", "[--wait [SECONDS]] [--save DIR] [--json] STUDY", "show what was found in a study",
     "STUDY is a Study Instance UID. The exit status is 1 for a study that failed or that no model wants.\n\n"
     "  --wait [N]    wait until the study is done, failed or without a model, at most N seconds; default: "
     "600\n"
     "  --save DIR    write the result objects, the picture and results.json into this folder\n" REMOTE,
     lam_cli_results},
    {"analyze", "[--model NAME] [--json] STUDY", "analyse a study now",
     "  --model NAME  only this model, instead of all that apply\n" REMOTE, lam_cli_analyze},
    {"jobs", "[--state S] [--limit N] [--json]", "list jobs", LISTED REMOTE, lam_cli_jobs},
    {"job", "[--json] ID", "show a job and its attempts", REMOTE, lam_cli_job},
    {"retry", "[--json] ID", "queue a failed job again", REMOTE, lam_cli_retry},
    {"cancel", "[--json] ID", "cancel a job for good", REMOTE, lam_cli_cancel},
    {"models", "[--json] [NAME]", "list the installed models, or show one with its card", REMOTE,
     lam_cli_models},
    {"deliveries", "[ACTION] [--state S] [--limit N] [--json]", "show what is on its way to other nodes",
     "Without an action it lists deliveries.\n\n"
     "  destinations  list the nodes that results are delivered to\n"
     "  retry ID      queue a failed delivery again\n"
     "  pause NAME    keep what is for this destination in the queue\n"
     "  resume NAME   send it\n" LISTED REMOTE,
     lam_cli_deliveries},
    {"doctor", "[--config FILE] [--json]", "check configuration, data, disk, models, ports and peers",
     "Says what to do about each problem; the exit status is 1 where there is one. Changes nothing.\n\n"
     "  --config FILE default: as laminad\n"
     "  --json        print the checks as JSON\n",
     lam_cli_doctor},
    {"backup", "[--config FILE] [--store DIR] FILE", "copy the database while the daemon runs",
     "FILE becomes a consistent copy of the database. Files of the store never change, so DIR can be kept\n"
     "and gets only what it lacks.\n\n"
     "  --config FILE default: as laminad\n"
     "  --store DIR   also copy every object and picture that the database names to this folder\n",
     lam_cli_backup},
    {"migrate", "[--config FILE]", "bring the database of a stopped daemon to the newest schema",
     "laminad does the same when it starts. A copy of the database is made first.\n\n"
     "  --config FILE default: as laminad\n",
     lam_cli_migrate},
    {"send", "[--aet CALLING] [--jobs N] [--tls] [--json] HOST:PORT[/AET] PATH...",
     "send files and folders by C-STORE",
     "AET is the AE title of the receiver; default: LAMINA. Files go as they are stored; what is not DICOM "
     "is\n"
     "skipped with a note.\n\n"
     "  --aet CALLING our own AE title; default: LAMINA-SCU\n"
     "  --jobs N      associations side by side; default: 1\n"
     "  --tls         by TLS; the peer's certificate must be signed by one of the system's authorities\n"
     "  --tls-ca FILE or by one of these (PEM)\n"
     "  --tls-certificate FILE, --tls-key FILE\n"
     "                our own certificate and its key (PEM)\n"
     "  --json        print the outcome as JSON\n",
     lam_cli_send},
    {"echo", "[--aet CALLING] [--tls] [--json] HOST:PORT[/AET]",
     "ask a DICOM node whether it answers (C-ECHO)",
     "AET is the AE title of the node; default: LAMINA.\n\n"
     "  --aet CALLING our own AE title; default: LAMINA-SCU\n"
     "  --tls         by TLS; the peer's certificate must be signed by one of the system's authorities\n"
     "  --tls-ca FILE or by one of these (PEM)\n"
     "  --tls-certificate FILE, --tls-key FILE\n"
     "                our own certificate and its key (PEM)\n"
     "  --json        print the outcome as JSON\n",
     lam_cli_echo},
    {"train", "--bundle DIR --data PATH... [--val PATH...] [OPTION...]",
     "train the network that a bundle's model.json describes",
     "PATH is a safetensors set of images and labels, or a folder of DICOM: series that the model's "
     "selector\n"
     "wants, with what was drawn in them (SEG) or said of them (SR). Writes weights, metrics, curve.csv and\n"
     "curve.svg into DIR.\n\n"
     "  --val PATH... samples to validate on; the weights that score best there are kept\n"
     "  --fold I/N    instead of --val: part I of N of the data\n"
     "  --epochs N    instead of the recipe's\n"
     "  --seed S      the same seed gives the same bits, whatever the number of threads; default: 1\n"
     "  --threads N   default: all processors\n"
     "  --init DIR    start from another bundle's weights, as far as names and shapes agree\n"
     "  --resume      go on from the last epoch of a run that was stopped\n"
     "  --quiet       no progress\n"
     "  --json        print the metrics as JSON\n",
     lam_cli_train},
    {"eval", "[OPTION...] --bundle DIR --data PATH...", "score a bundle on a labelled set",
     "PATH is what train takes: a safetensors set, or a folder of DICOM with its segmentations or reports.\n"
     "DIR is a bundle, or the folder of a model's versions, of which the newest is taken.\n\n"
     "  --bootstrap N rounds for the 95 % intervals; 0: none; default: 1000\n"
     "  --card[=NAME] write the bundle's card.md; NAME says what set this is\n"
     "  --out-of-fold the data is what a cross-validated ensemble was trained on: each case is scored by "
     "the\n"
     "                one member that has not seen it\n"
     "  --explain[=N] also whether maps of where the network looked point at what matters to it, on N cases\n"
     "                (default 30): areas under deletion and insertion curves beside those of a random "
     "order\n"
     "  --fit-gate[=SHARE] do not score: learn from PATH which inputs are unlike the training set, and "
     "write\n"
     "                gate.safetensors; SHARE of genuine inputs that may be refused, default 0.04\n"
     "  --training PATH...\n"
     "                of a generator: the set it was trained on; also how near what it draws comes to it\n"
     "  --threads N   default: all processors\n"
     "  --json        print the metrics as JSON\n",
     lam_cli_eval},
    {"predict", "--bundle DIR [OPTION...] PATH...", "run one model on DICOM files or a safetensors set",
     "PATH is a DICOM file, a folder of them, or a set (*.safetensors). Series that the model's selector "
     "does not\n"
     "want are named and left out. The exit status is 1 when something failed or nothing was wanted.\n\n"
     "  --out DIR     write results.json and, for DICOM, SEG, SR and a picture for each series; for a set of "
     "images\n"
     "                to be segmented predictions.safetensors\n"
     "  --explain M   where the network looked, as a Parametric Map: gradient, integrated or attention\n"
     "  --samples N   how sure it is: the deviation of probabilities over an ensemble, or N passes with "
     "dropout\n"
     "  --gate MODE   images unlike those the model was trained on: flag says so in the result (the "
     "default),\n"
     "                refuse gives no result, ignore does not look\n"
     "  --any         whatever the selector says\n"
     "  --profile P   of the DICOM objects: strict, ohif or slicer; default: strict\n"
     "  --threads N   default: all processors\n"
     "  --json        print results.json\n",
     lam_cli_predict},
    {"generate", "--bundle DIR --out DIR [OPTION...]",
     "draw images or whole DICOM studies with a generative model",
     "Writes images.safetensors, as train takes it, and a PNG for each image into DIR; with --dicom a folder "
     "for\neach study, complete and marked as synthetic. Same seed, same bytes.\n\n"
     "  --count N     how many images, volumes or studies; default: 1\n"
     "  --class NAME  draw only this class; default: the classes in turn\n"
     "  --seed S      default: 1\n"
     "  --dicom       one patient with one study of one series for each\n"
     "  --size [Zx]YxX\n"
     "                how large they are drawn; default: as the model was trained\n"
     "  --matrix [Zx]YxX\n"
     "                the voxels of DICOM series: what was drawn, resampled to so many; default: the "
     "model's\n"
     "  --temperature T\n"
     "                less than 1: smoother; default: the model's\n"
     "  --threads N   default: all processors\n"
     "  --json        print what was made as JSON\n",
     lam_cli_generate},
    {"model", "import FILE --bundle DIR [OPTION...] | check DIR",
     "make a bundle of a model that was trained elsewhere, or check one",
     "check loads a bundle, which checks manifest, network, weights, gate and their hashes, and says what it "
     "is.\n\n"
     "FILE is an ONNX model, or a PyTorch or Keras state saved as safetensors. DIR/model.json describes what "
     "the\n"
     "model is for; a state needs its network there too, for an ONNX model the network is written and the "
     "rest\n"
     "may be absent (a classifier is assumed, for you to edit).\n\n"
     "  --framework F onnx, pytorch or keras; default: onnx for *.onnx, else pytorch\n"
     "  --map FILE    JSON object: layers of ours to the modules of the state they come from, such as\n"
     "                {\"head\": \"classifier.0\", \"rnn2\": {\"from\": \"lstm\", \"layer\": 1}}\n"
     "  --layout L    what the dimensions of an ONNX input are, such as NTCHW: N batch, C channels, others "
     "axes\n"
     "  --output NAME the output of an ONNX model that is wanted; default: the first\n"
     "  --json        print the result as JSON\n",
     lam_cli_model},
    {"validate", "[--source DIR] [--json] FILE...",
     "check result objects against the rules that viewers need",
     "Knows segmentations, label maps, reports, key objects, presentation states, secondary captures and\n"
     "parametric maps. Each problem names its attribute and clause; the exit status is 1 where there is "
     "one.\n\n"
     "  --source DIR  the images they were made from: checks identity and geometry against them\n"
     "  --json        print the problems as JSON\n",
     lam_cli_validate},
    {"completion", "bash", "print a script that completes the commands of lamina in bash",
     "The package installs it; for a shell of your own: source <(lamina completion bash)\n", run_completion},
    {"help", "[COMMAND]", "show how a command is used", "", run_help},
};

static const lam_cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < LAM_COUNT(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_overview(FILE *to)
{
    fputs("usage: lamina COMMAND [ARGUMENTS]\n"
          "       lamina help COMMAND\n"
          "       lamina --version\n\n",
          to);
    for (size_t i = 0; i < LAM_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
}

static void print_help(const lam_cli_command *command)
{
    printf("usage: lamina %s %s\n\n%c%s.\n", command->name, command->arguments,
           toupper((unsigned char)command->summary[0]), command->summary + 1);
    if (*command->details)
        printf("\n%s", command->details);
}

static int unknown_command(const char *name)
{
    fprintf(stderr, "lamina: there is no command '%s'; 'lamina help' lists them\n", name);
    return LAM_CLI_USAGE;
}

static int run_help(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stdout);
        return LAM_CLI_OK;
    }
    const lam_cli_command *command = find_command(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    print_help(command);
    return LAM_CLI_OK;
}

static int run_completion(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "bash") != 0)
        return lam_cli_usage(argv[0], "bash is the one shell it knows");
    lam_completion_print(stdout, commands, LAM_COUNT(commands));
    return LAM_CLI_OK;
}

/* So that no command has to handle it: `lamina send --help` is `lamina help send`. */
static int asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0)
            return 1;
    return 0;
}

static bool runs_the_engine(const lam_cli_command *command)
{
    return command->run == lam_cli_train || command->run == lam_cli_eval || command->run == lam_cli_model ||
           command->run == lam_cli_predict || command->run == lam_cli_generate;
}

int main(int argc, char **argv)
{
    lam_io_fill_standard();
    if (argc < 2) {
        print_overview(stderr);
        return LAM_CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        puts("lamina " LAMINA_VERSION);
        return LAM_CLI_OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    const lam_cli_command *command = find_command(name);
    if (!command)
        return unknown_command(name);
    if (asks_for_help(argc - 1, argv + 1)) {
        print_help(command);
        return LAM_CLI_OK;
    }
    if (runs_the_engine(command))
        lam_cpu_reexec_for_openblas(argv);
    int status = command->run(argc - 1, argv + 1);
    /* A full disk or a closed pipe must not pass for success. */
    if (fflush(stdout) != 0 && status == LAM_CLI_OK)
        return lam_cli_fail("cannot write the output");
    return status;
}
