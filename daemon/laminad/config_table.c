/* Every configuration key: one row says all there is to say about it. The example file and lamina.conf(5) are
 * made from here (`make config-docs`). To add a key: a field in config.h, a row here. */
#include "daemon/laminad/config_table.h"

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define KIB    ((int64_t)1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define TIB    (1024 * GIB)

/* Where the field lies; `record` is the struct of the section. */
#define FIELD(record, field) .offset = offsetof(record, field), .size = sizeof(((record *)0)->field)
#define MAIN(field)          FIELD(lam_config, field)
#define PEER(field)          FIELD(lam_config_peer, field)
#define RULE(field)          FIELD(lam_config_rule, field)

static const lam_config_key lamina_keys[] = {
    {"data_dir", LAM_TYPE_PATH, MAIN(data_dir), .initial = "/var/lib/lamina",
     .help = "Where everything lies that Lamina keeps: the database lamina.db, the stored objects, the "
             "spool. Without any configuration file: $XDG_STATE_HOME/lamina, or ~/.local/state/lamina."},
    {"models_dir", LAM_TYPE_PATH, MAIN(models_dir), .example = "/usr/share/lamina/models",
     .help = "Where the model bundles lie, one folder NAME/VERSION each. Without it: $LAMINA_MODELS, else "
             "the models that were installed or built with the program."},
    {"workers", LAM_TYPE_WORKERS, MAIN(workers), .minimum = 1, .maximum = 64, .initial = "auto",
     .help = "How many worker processes parse and analyse at the same time. auto: one for each processor "
             "core that the daemon may use."},
    {"log_level", LAM_TYPE_WORD, MAIN(log_level), .words = {"error", "warning", "info", "debug"},
     .initial = "info", .help = "The least important kind of message that is still logged."},
};

static const lam_config_key dicom_keys[] = {
    {"listen", LAM_TYPE_ADDRESS, MAIN(dicom_listen), .maximum = 65535, .initial = "127.0.0.1:11112",
     .help = "Address and port for DICOM associations; an IPv6 address stands in brackets, port 0 is any "
             "free one. Beyond loopback the daemon starts only with accept = known and at least one [peer] "
             "with an address."},
    {"ae_title", LAM_TYPE_AE_TITLE, MAIN(ae_title), .initial = "LAMINA", .live = true,
     .help = "The application entity title of this node. Associations that call another title are refused."},
    {"accept", LAM_TYPE_WORD, MAIN(accept), .words = {"known", "any"}, .initial = "known", .live = true,
     .help = "Which calling application entities may associate. known: those of the [peer] sections; while "
             "there is no such section and the address is a loopback one, any from this machine. any: every "
             "one, allowed on a loopback address only."},
    {"tls_certificate", LAM_TYPE_PATH, MAIN(dicom_certificate), .example = "/etc/lamina/tls/lamina.pem",
     .help =
         "Our certificate (PEM, followed by what lies between it and its authority). With it associations "
         "are taken by TLS (the BCP 195 profiles of PS3.15: TLS 1.2 and 1.3 with forward secrecy) and in no "
         "other way; 2762 is the port registered for that."},
    {"tls_key", LAM_TYPE_PATH, MAIN(dicom_key), .example = "/etc/lamina/tls/lamina.key",
     .help = "The key of tls_certificate (PEM, no password). It must not be accessible to everyone."},
    {"tls_ca", LAM_TYPE_PATH, MAIN(dicom_ca), .example = "/etc/lamina/tls/modalities.pem",
     .help = "Certificates (PEM) one of which must have signed that of whoever associates. Without it no "
             "certificate is asked for."},
    {"max_associations", LAM_TYPE_INTEGER, MAIN(max_associations), .minimum = 1, .maximum = 1000,
     .initial = "64", .live = true, .help = "Associations open at the same time. Further ones are refused."},
    {"max_associations_per_peer", LAM_TYPE_INTEGER, MAIN(max_associations_per_peer), .minimum = 1,
     .maximum = 1000, .initial = "16", .live = true,
     .help = "The same for one calling application entity, so that one peer cannot take all of them."},
    {"max_pdu", LAM_TYPE_SIZE, MAIN(max_pdu), .minimum = 4 * KIB, .maximum = 1 * MIB, .initial = "128K",
     .live = true, .help = "Longest protocol data unit received."},
    {"private_classes", LAM_TYPE_SWITCH, MAIN(private_classes), .initial = "no", .live = true,
     .help = "Whether objects of SOP classes are stored that are not in the DICOM standard, as manufacturers "
             "define them for their own equipment."},
    {"association_timeout", LAM_TYPE_DURATION, MAIN(association_timeout_ms), .minimum = SECOND,
     .maximum = HOUR, .initial = "30s", .live = true,
     .help = "How long a peer may take to request an association after connecting (the ARTIM timer)."},
    {"idle_timeout", LAM_TYPE_DURATION, MAIN(idle_timeout_ms), .minimum = SECOND, .maximum = 24 * HOUR,
     .initial = "5m", .live = true,
     .help = "How long a peer may be silent on an association, between requests and in the middle of one."},
};

static const lam_config_key http_keys[] = {
    {"listen", LAM_TYPE_ADDRESS, MAIN(http_listen), .maximum = 65535, .initial = "127.0.0.1:8080",
     .help = "Address and port for DICOMweb, the JSON interface and the web page. Beyond loopback the daemon "
             "starts only with authentication."},
    {"auth", LAM_TYPE_WORD, MAIN(auth), .words = {"none", "token", "mtls"}, .initial = "none",
     .help =
         "How clients prove who they are. none: not at all, on a loopback address only. token: a bearer "
         "token of token_file; across a network set tls_certificate too, or put a reverse proxy with TLS in "
         "front. mtls: a certificate signed by one of tls_client_ca."},
    {"tls_certificate", LAM_TYPE_PATH, MAIN(http_certificate), .example = "/etc/lamina/tls/lamina.pem",
     .help =
         "The server's certificate (PEM, followed by what lies between it and its authority). With it the "
         "server speaks HTTPS (TLS 1.2 and 1.3) and nothing else."},
    {"tls_key", LAM_TYPE_PATH, MAIN(http_key), .example = "/etc/lamina/tls/lamina.key",
     .help = "The key of tls_certificate (PEM, no password). It must not be accessible to everyone."},
    {"tls_client_ca", LAM_TYPE_PATH, MAIN(http_client_ca), .example = "/etc/lamina/tls/clients.pem",
     .help = "Certificates (PEM) of the authorities whose clients are let in with auth = mtls."},
    {"token_file", LAM_TYPE_PATH, MAIN(token_file), .example = "/etc/lamina/token",
     .help =
         "A file with one bearer token of at least 16 characters a line, and after it, where that token may "
         "remove objects, the word delete; a line that begins with # is a comment. It must not be "
         "accessible to everyone."},
    {"public_url", LAM_TYPE_URL, MAIN(public_url), .example = "https://lamina.example.org",
     .help = "How clients reach the server, where that is not http:// and the address above, as behind a "
             "reverse proxy. It begins the URLs in answers."},
    {"allow_delete", LAM_TYPE_SWITCH, MAIN(allow_delete), .initial = "no",
     .help = "Whether clients may remove studies, series and instances with DELETE; with auth = token those "
             "whose "
             "token has the role delete."},
    {"cors_origins", LAM_TYPE_ORIGINS, MAIN(cors_origins), .example = "https://viewer.example.org",
     .help =
         "Web pages that may call this server from another origin: their origins, separated by blanks, or "
         "* for any. Without it only pages from the server itself may."},
    {"ohif_dir", LAM_TYPE_PATH, MAIN(ohif_dir), .example = "/usr/share/lamina/ohif",
     .help = "A folder with the files of the viewer OHIF (make ohif), which is then served under /ohif. It "
             "sends no bearer token: with auth = token a reverse proxy has to add it."},
    {"max_connections", LAM_TYPE_INTEGER, MAIN(max_connections), .minimum = 4, .maximum = 10000,
     .initial = "128", .help = "Connections open at the same time."},
};

static const lam_config_key storage_keys[] = {
    {"reserve", LAM_TYPE_SIZE, MAIN(reserve_bytes), .minimum = 0, .maximum = 1024 * TIB, .initial = "1G",
     .live = true,
     .help = "Space left free on the disk of data_dir. When less is free, new objects are refused (C-STORE "
             "status A700H, HTTP 507) before they are written."},
    {"duplicates", LAM_TYPE_WORD, MAIN(duplicates), .words = {"reject", "replace", "keep-both-quarantined"},
     .initial = "reject", .live = true,
     .help = "What to do with an object whose SOP Instance UID is stored already with other content. reject: "
             "refuse it. replace: the new one takes its place, and its series is analysed again. "
             "keep-both-quarantined: refuse it, but keep it in the folder quarantine of data_dir. An object "
             "with the same content is always accepted and kept once; a result of Lamina is never replaced."},
    {"quarantine", LAM_TYPE_SIZE, MAIN(quarantine_bytes), .minimum = 0, .maximum = TIB, .initial = "1G",
     .live = true,
     .help = "Most bytes of refused objects kept in the folder quarantine of data_dir: those that could not "
             "be read, each with the reason in a text beside it. The oldest make room for new ones. 0: none "
             "is kept."},
    {"max_object", LAM_TYPE_SIZE, MAIN(max_object_bytes), .minimum = MIB, .maximum = TIB, .initial = "4G",
     .live = true, .help = "Largest object accepted."},
};

static const lam_config_key analysis_keys[] = {
    {"stable_after", LAM_TYPE_DURATION, MAIN(stable_after_ms), .minimum = 0, .maximum = 24 * HOUR,
     .initial = "5s", .live = true,
     .help = "A series counts as complete when nothing has arrived for it for so long."},
    {"stable_after_release", LAM_TYPE_DURATION, MAIN(stable_after_release_ms), .minimum = 0,
     .maximum = 24 * HOUR, .initial = "2s", .live = true,
     .help =
         "The same, where that is shorter, once every association that brought objects to the series has "
         "been released by its sender. One that was aborted, and an upload by HTTP, say nothing of the "
         "kind. With senders that open an association for each object, give it the value of stable_after."},
    {"max_attempts", LAM_TYPE_INTEGER, MAIN(max_attempts), .minimum = 1, .maximum = 100, .initial = "3",
     .live = true,
     .help = "How often a job is tried before it is given up as failed. It can then be retried by hand."},
    {"job_timeout", LAM_TYPE_DURATION, MAIN(job_timeout_ms), .minimum = SECOND, .maximum = 24 * HOUR,
     .initial = "10m", .live = true,
     .help = "A worker that has not finished a job after so long is killed; that costs the job one attempt."},
    {"retry_delay", LAM_TYPE_DURATION, MAIN(retry_delay_ms), .minimum = 0, .maximum = 24 * HOUR,
     .initial = "5s", .live = true,
     .help = "Pause before a job is tried for the second time. It doubles with each further attempt."},
    {"worker_memory", LAM_TYPE_SIZE, MAIN(worker_memory_bytes), .minimum = 256 * MIB, .maximum = 12 * GIB,
     .initial = "4G", .live = true,
     .help = "Most memory (address space) of one worker process. Applies to workers started afterwards."},
    {"secondary_captures", LAM_TYPE_SWITCH, MAIN(objects.secondary_captures), .initial = "no", .live = true,
     .help =
         "Whether each result also gets a Secondary Capture: the picture of the findings as an RGB image, "
         "for viewers that show neither segmentations nor reports."},
    {"presentation_states", LAM_TYPE_SWITCH, MAIN(objects.presentation_states), .initial = "no", .live = true,
     .help = "Whether each result also gets a Grayscale Softcopy Presentation State with the outlines."},
    {"key_objects", LAM_TYPE_SWITCH, MAIN(objects.key_objects), .initial = "no", .live = true,
     .help = "Whether each result also gets a Key Object Selection of the images that matter."},
    {"parametric_maps", LAM_TYPE_SWITCH, MAIN(objects.parametric_maps), .initial = "no", .live = true,
     .help = "Whether a result with a heat map also gets a Parametric Map."},
    {"input_gate", LAM_TYPE_WORD, MAIN(input_gate), .words = {"flag", "refuse", "ignore"}, .initial = "flag",
     .live = true,
     .help =
         "What becomes of images that are unlike those a model was trained on. flag: the result says so "
         "(gate in JSON, a line in the report) and means nothing. refuse: there is no result, the job fails "
         "with the reason unlike_training_data. ignore: nobody looks."},
    {"explain", LAM_TYPE_WORD, MAIN(explain), .words = {"integrated", "gradient", "attention"},
     .initial = "integrated", .live = true,
     .help =
         "How heat maps are made, where parametric_maps wants them: integrated gradients, the size of the "
         "gradient, or the weights of the network's attention, where it has one."},
    {"segmentation", LAM_TYPE_WORD, MAIN(segmentation),
     .words = {"profile", "binary", "occupancy", "probability", "labelmap"}, .initial = "profile",
     .live = true,
     .help = "The form of segmentation objects. profile: what each reader's profile asks for; strict leaves "
             "it to "
             "the model, which may name a form (outputs.segmentation), else binary. binary: one bit a voxel. "
             "occupancy: FRACTIONAL, 0 or 1 in a byte. probability: FRACTIONAL, the model's probability in "
             "255ths. "
             "labelmap: Label Map Segmentation (DICOM Supplement 243), which few viewers know yet."},
    {"compress_segmentations", LAM_TYPE_SWITCH, MAIN(compress_segmentations), .initial = "no", .live = true,
     .help =
         "Whether segmentations with a byte a voxel are stored run-length coded (RLE Lossless). One bit a "
         "voxel cannot be. A peer that does not take it gets them decoded."},
    {"notice", LAM_TYPE_TEXT, MAIN(notice), .initial = "not for diagnosis", .live = true,
     .help = "What pictures, Secondary Captures and Presentation States say on every slice beside what was "
             "found."},
};

static const lam_config_key peer_keys[] = {
    {"kind", LAM_TYPE_WORD, PEER(kind), .words = {"dimse", "dicomweb", "mllp", "webhook"}, .initial = "dimse",
     .live = true,
     .help =
         "How the peer is spoken to. dimse: DICOM associations with address, both ways. The others only "
         "receive: dicomweb: STOW-RS to url. mllp: HL7 v2.5 ORU messages to address. webhook: a signed JSON "
         "document for each result to url."},
    {"ae_title", LAM_TYPE_AE_TITLE, PEER(ae_title), .live = true, .example = "PACS",
     .help = "The peer's application entity title; needed where kind = dimse."},
    {"address", LAM_TYPE_ADDRESS, PEER(address), .minimum = 1, .maximum = 65535, .live = true,
     .example = "10.0.0.5:104",
     .help = "Where the peer listens. Its own associations are taken from this host only; without an "
             "address, from anywhere. A host name is looked up when the configuration is read."},
    {"url", LAM_TYPE_URL, PEER(url), .live = true, .example = "https://pacs.example.org/dicom-web",
     .help = "Root of the peer's DICOMweb services, or where a webhook is sent to."},
    {"accept", LAM_TYPE_SWITCH, PEER(accept), .initial = "yes", .live = true,
     .help = "Whether the peer may open associations to this node."},
    {"stable_after", LAM_TYPE_DURATION, PEER(stable_after_ms), .minimum = 0, .maximum = 24 * HOUR,
     .initial = "0s", .live = true,
     .help = "A series that this peer sends counts as complete after so long without a new instance. 0s: as "
             "[analysis] stable_after says."},
    {"stable_after_release", LAM_TYPE_DURATION, PEER(stable_after_release_ms), .minimum = 0,
     .maximum = 24 * HOUR, .initial = "0s", .live = true,
     .help = "The same for a series all of whose associations have been released, this peer's last. 0s: as "
             "[analysis] stable_after_release says."},
    {"deliver", LAM_TYPE_WORD, PEER(deliver), .words = {"none", "results"}, .initial = "none", .live = true,
     .help =
         "What is sent to the peer without being asked. results: the result of every job, as soon as it is "
         "there, until the peer has confirmed it."},
    {"profile", LAM_TYPE_WORD, PEER(profile), .words = {"strict", "ohif", "slicer"}, .initial = "strict",
     .live = true, .help = "Which viewer's habits the delivered objects have to suit."},
    {"secondary_captures", LAM_TYPE_SWITCH, PEER(objects.secondary_captures), .initial = "no", .live = true,
     .help =
         "Whether Secondary Captures are made for the peer and sent to it, beside segmentation and report."},
    {"presentation_states", LAM_TYPE_SWITCH, PEER(objects.presentation_states), .initial = "no", .live = true,
     .help = "The same for Grayscale Softcopy Presentation States."},
    {"key_objects", LAM_TYPE_SWITCH, PEER(objects.key_objects), .initial = "no", .live = true,
     .help = "The same for Key Object Selections."},
    {"parametric_maps", LAM_TYPE_SWITCH, PEER(objects.parametric_maps), .initial = "no", .live = true,
     .help = "The same for Parametric Maps."},
    {"concurrency", LAM_TYPE_INTEGER, PEER(concurrency), .minimum = 1, .maximum = 16, .initial = "1",
     .live = true, .help = "Associations or requests to the peer at the same time."},
    {"timeout", LAM_TYPE_DURATION, PEER(timeout_ms), .minimum = SECOND, .maximum = HOUR, .initial = "60s",
     .live = true, .help = "Longest time the peer may take to answer."},
    {"retry_delay", LAM_TYPE_DURATION, PEER(retry_delay_ms), .minimum = 10, .maximum = HOUR, .initial = "10s",
     .live = true,
     .help = "Pause after a delivery that failed for now. It doubles with each further failure, up to ten "
             "minutes, and varies by a quarter so that many do not come back at once."},
    {"give_up_after", LAM_TYPE_DURATION, PEER(give_up_after_ms), .minimum = SECOND,
     .maximum = 365 * 24 * HOUR, .initial = "7d", .live = true,
     .help = "A delivery that has not succeeded for so long is given up as failed. It can then be retried by "
             "hand."},
    {"commitment", LAM_TYPE_SWITCH, PEER(commitment), .initial = "no", .live = true,
     .help =
         "Ask the peer to commit itself to what it received (Storage Commitment). An object then counts as "
         "delivered when it has, and is sent again when it has forgotten it. For kind = dimse."},
    {"commitment_timeout", LAM_TYPE_DURATION, PEER(commitment_timeout_ms), .minimum = SECOND,
     .maximum = 30 * 24 * HOUR, .initial = "1h", .live = true,
     .help = "How long the peer may take to say whether it commits itself, before it is asked again."},
    {"token_file", LAM_TYPE_PATH, PEER(token_file), .live = true, .example = "/etc/lamina/pacs.token",
     .help =
         "A file with the bearer token for url, on its first line. It must not be accessible to everyone."},
    {"secret_file", LAM_TYPE_PATH, PEER(secret_file), .live = true, .example = "/etc/lamina/webhook.secret",
     .help = "A file with the secret that signs webhooks, on its first line, at least 16 characters. Needed "
             "where kind = webhook."},
    {"tls", LAM_TYPE_SWITCH, PEER(tls), .initial = "no", .live = true,
     .help = "Speak TLS to address (kind = dimse or mllp). With https, url says so itself."},
    {"tls_ca", LAM_TYPE_PATH, PEER(tls_ca), .live = true, .example = "/etc/lamina/tls/ca.pem",
     .help = "Certificates (PEM) one of which must have signed the peer's. Without it: those of the system."},
    {"tls_certificate", LAM_TYPE_PATH, PEER(tls_certificate), .live = true,
     .example = "/etc/lamina/tls/lamina.pem",
     .help = "Our own certificate (PEM, with what lies between it and its authority), for peers that ask for "
             "one."},
    {"tls_key", LAM_TYPE_PATH, PEER(tls_key), .live = true, .example = "/etc/lamina/tls/lamina.key",
     .help = "The key of tls_certificate (PEM, no password). It must not be accessible to everyone."},
};

static const lam_config_key worklist_keys[] = {
    {"perform", LAM_TYPE_WORD, MAIN(perform), .words = {"none", "addressed", "open"}, .initial = "addressed",
     .live = true,
     .help = "Which workitems Lamina performs itself, decided when they are created or updated. addressed: "
             "those whose Scheduled Station Name Code Sequence has [dicom] ae_title. open: also those that "
             "name no station and whose Scheduled Workitem Code is known here. none: all are held for other "
             "performers."},
    {"input_wait", LAM_TYPE_DURATION, MAIN(input_wait_ms), .minimum = 0, .maximum = 365 * 24 * HOUR,
     .initial = "24h", .live = true,
     .help = "How long such a workitem waits for its input after its scheduled start, before it is canceled, "
             "where it says neither when it expires nor when it is expected to be completed."},
    {"keep", LAM_TYPE_DURATION, MAIN(keep_workitems_ms), .minimum = 0, .maximum = 365 * 24 * HOUR,
     .initial = "30d", .live = true,
     .help = "How long workitems that are completed or canceled can still be retrieved."},
};

static const lam_config_key audit_keys[] = {
    {"enabled", LAM_TYPE_SWITCH, MAIN(audit), .initial = "yes",
     .help =
         "Whether an audit trail is kept: DICOM audit messages (PS3.15 section A.5) in syslog records, one a "
         "line, in the folder audit of data_dir, a file for each day. It names patients; the logs do not."},
    {"keep", LAM_TYPE_DURATION, MAIN(keep_audit_ms), .minimum = 0, .maximum = 36500 * 24 * HOUR,
     .initial = "365d", .live = true,
     .help = "How long the file of a day is kept after that day. 0s: for ever. It is looked at when a day's "
             "first "
             "record is written."},
};

static const lam_config_key rule_keys[] = {
    {"model", LAM_TYPE_MODEL, RULE(model), .required = true, .live = true, .example = "hippocampus",
     .help = "Name of the model."},
    {"when", LAM_TYPE_RULE, RULE(when_text), .required = true, .live = true,
     .example = "Modality = MR and SeriesDescription ~ /hippo/i",
     .help = "Conditions joined by `and`: the DICOM keyword of an attribute that describes a series "
             "(Modality, SeriesDescription, ProtocolName, SliceThickness and the like), one of = != < > <= "
             ">= ~, and a word, a number, \"quoted text\", or after ~ a POSIX extended regular expression "
             "between slashes, with i behind the second where case does not matter. May go on over further "
             "indented lines. A semicolon after a blank begins a comment, also inside quotes."},
};

#define KEYS(table) .keys = (table), .key_count = LAM_COUNT(table)

const lam_config_section lam_config_sections[LAM_SECTION_COUNT] = {
    {"lamina", KEYS(lamina_keys), .help = "The daemon as a whole."},
    {"dicom", KEYS(dicom_keys), .help = "The DICOM network (DIMSE)."},
    {"http", KEYS(http_keys), .help = "The HTTP server."},
    {"storage", KEYS(storage_keys), .help = "Stored objects."},
    {"analysis", KEYS(analysis_keys), .help = "When and how studies are analysed."},
    {"worklist", NULL, KEYS(worklist_keys), .help = "Workitems that others create (UPS-RS)."},
    {"audit", NULL, KEYS(audit_keys), .help = "Who did what with which study."},
    [LAM_SECTION_PEER] = {"peer", "NAME", KEYS(peer_keys), .example = "pacs",
                          .help = "Another node; one section each. NAME is for this file and the logs."},
    [LAM_SECTION_RULE] = {"rule", "NAME", KEYS(rule_keys), .example = "hippocampus",
                          .help = "Routing beyond what each model's own selector says: a series that meets "
                                  "the conditions goes to the model, whatever that says. One section each."},
};

_Static_assert(LAM_COUNT(peer_keys) <= LAM_CONFIG_MAX_KEYS, "the longest section fits");
