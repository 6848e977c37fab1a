package Phrony::Runs;

# What several tests ask of streams of events.

use Phrony::Test;

use Exporter 'import';

our @EXPORT = qw(ends event events_pass open_stream stream_path);


sub stream_path { "/v1/runs/$_[0]/stream" }


# One event as it stands in a stream.

sub event {
    my ($kind, $subject, $data) = @_;

    return 'data: ' . encode_json({ts => '2026-01-02T03:04:05.678Z',
        kind => $kind, subject => $subject, data => $data}) . "\n\n";
}


# That which ends a run.

sub ends { event(run => 'engine.run.completed', {runId => $_[0]}) }


# Opens a run's stream and reads what has happened so far, until a subject that
# ends in "until"; returns the connection.  What comes next are the stream's
# bytes alone: HTTP/1.0 knows no chunks.  "at" is a client; other options are
# those of req().

sub open_stream {
    my ($run, %opt) = @_;

    my $client = delete $opt{at};
    my $until = delete $opt{until} // 'run.started';
    my $key = delete $opt{key} // 'phk_test_alice';
    my $connection = $client->open_connection;

    $connection->send($client->request_bytes(GET => stream_path($run),
        version => '1.0', key => $key, %opt));
    $connection->read_until(qr/"[^"]*\Q$until\E"[^\n]*\n\n/);

    return $connection;
}


# Sends pieces of bytes on a run's stream; true when they have come out as they
# are, with nothing sent after them.

sub events_pass {
    my ($up, $run, $connection, @pieces) = @_;

    my $bytes = join '', @pieces;
    my $came = '';

    $up->send_bytes($run, $_) for @pieces;
    $came .= $connection->read_until(qr/\A.+/s)
        while length $came < length $bytes;

    return $came eq $bytes;
}


1;
