# pve-nautobot-register on a file like PVE's Ipams.pm: what it changes and what it rejects.
use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use FindBin qw($Bin);
use lib "$Bin/lib";
use Test::More;

use Files qw(spew slurp);

# the file under test loads its modules from here
$ENV{PERL5LIB} = "$Bin/lib";

my $text = <<'TEXT';
package PVE::Network::SDN::Ipams;

use strict;
use warnings;

use PVEStandIn;

use PVE::Network::SDN::Ipams::PhpIpamPlugin;
use PVE::Network::SDN::Ipams::Plugin;

PVE::Network::SDN::Ipams::PhpIpamPlugin->register();
PVE::Network::SDN::Ipams::Plugin->init();

sub config { }

1;
TEXT
my $patched = $text =~ s/(?=use .*::Plugin;)/use PVE::Network::SDN::Ipams::NautobotPlugin;\n/r =~
    s/(?=PVE.*init)/PVE::Network::SDN::Ipams::NautobotPlugin->register();\n/r;
my $phpipam = <<'TEXT';
package PVE::Network::SDN::Ipams::PhpIpamPlugin;
use base('PVE::Network::SDN::Ipams::Plugin');
sub type { return 'phpipam' }
sub properties { return { url => { type => 'string' }, token => { type => 'string' } } }
sub options { return { url => {}, token => {} } }
1;
TEXT

# A node's module directory with this Ipams.pm: (directory, path of Ipams.pm)
sub node {
    my ($content) = @_;

    my $dir = tempdir(CLEANUP => 1);
    my $file = "$dir/PVE/Network/SDN/Ipams.pm";
    make_path("$dir/PVE/Network/SDN/Ipams");
    spew("$dir/PVE/Network/SDN/Ipams/PhpIpamPlugin.pm", $phpipam);
    copy("$Bin/../NautobotPlugin.pm", "$dir/PVE/Network/SDN/Ipams/") or die "no copy: $!";
    spew($file, $content) if defined($content);
    return ($dir, $file);
}

# (exit code, output)
sub register {
    my ($file, @args) = @_;

    open(my $out, '-|', "$^X '$Bin/../pve-nautobot-register' @args --file '$file' 2>&1")
        or die "cannot run: $!";
    my $said = join('', <$out>);
    close($out);
    return ($? >> 8, $said);
}

sub does {
    my ($file, $arg, $code, $says, $content) = @_;

    my ($got, $said) = register($file, $arg);
    is($got, $code, "$arg: exit code") or diag($said);
    like($said, $says, "$arg: output");
    is(slurp($file), $content, "$arg: file content") if defined($content);
}

subtest 'install, upgrade and remove' => sub {
    my ($dir, $file) = node($text);
    chmod(0640, $file);

    does($file, '--check', 1, qr/^not registered/, $text);
    does($file, '--remove', 0, qr/^nothing to do/, $text);
    does($file, '--install', 0, qr/^registered in/, $patched);
    is((stat($file))[2] & 07777, 0640, 'permissions stay');
    does($file, '--install', 0, qr/^nothing to do/, $patched);
    does($file, '--check', 0, qr/^registered/, $patched);

    my $type = q{print PVE::Network::SDN::Ipams::Plugin->lookup('nautobot')};
    my $found = `$^X -I'$dir' -e "require PVE::Network::SDN::Ipams; $type"`;
    is($found, 'PVE::Network::SDN::Ipams::NautobotPlugin', 'PVE finds the type');

    my $upgraded = $text . "# a newer release\n";
    spew($file, $upgraded);
    does($file, '--check', 1, qr/^not registered/, $upgraded);
    does($file, '--install', 0, qr/^registered in/, $patched . "# a newer release\n");
    does($file, '--remove', 0, qr/^removed from/, $upgraded);
    is((stat($file))[2] & 07777, 0640, 'permissions stay');
    is_deeply([glob("$dir/PVE/Network/SDN/.nautobot*")], [], 'nothing left beside it');
};

subtest 'only one of the two lines' => sub {
    for my $half (split(/^/, $patched)) {
        next if $half !~ m/Nautobot/;
        my (undef, $file) = node($patched =~ s/^\Q$half\E//mr);
        does($file, '--check', 1, qr/^not registered/);
        does($file, '--install', 0, qr/^registered in/, $patched);
        (undef, $file) = node($patched =~ s/^\Q$half\E//mr);
        does($file, '--remove', 0, qr/^removed from/, $text);
    }
};

subtest 'an unsupported file' => sub {
    my $without_use = $text =~ s/^use .*::Plugin;\n//mr;
    my $without_init = $text =~ s/^.*init.*\n//mr;
    my $twice = $text =~ s/^(.*init.*\n)/$1$1/mr;
    for my $case (
        [$without_use, qr/'use PVE::\S+::Plugin;' 0 times/],
        [$without_init, qr/Plugin->init\(\);' 0 times/],
        [$twice, qr/Plugin->init\(\);' 2 times/],
    ) {
        my (undef, $file) = node($case->[0]);
        does($file, '--install', 2, $case->[1], $case->[0]);
    }
};

subtest 'a change that would break PVE' => sub {
    my ($dir, $file) = node($text);
    my $plugin = "$dir/PVE/Network/SDN/Ipams/NautobotPlugin.pm";

    spew($plugin, "package PVE::Network::SDN::Ipams::NautobotPlugin; broken(;\n");
    does(
        $file, '--install', 2, qr/does not load, so it was left unchanged: .*syntax error at/s,
        $text
    );
    unlink($plugin);
    does($file, '--install', 2, qr/NautobotPlugin\.pm is missing/, $text);
    is_deeply([glob("$dir/PVE/Network/SDN/.nautobot*")], [], 'nothing left beside it');
};

subtest 'a machine where PVE\'s modules do not load' => sub {
    my (undef, $file) = node($text =~ s/PVEStandIn/PVE::Absent/r);
    does($file, '--install', 0, qr/^not tested: .*^registered in/ms);
    does($file, '--check', 0, qr/^registered/);
};

subtest 'a relative path' => sub {
    my ($dir) = node($text);
    local $ENV{PERL5LIB} = "$Bin/lib";
    for my $case ([$dir, 'PVE/Network/SDN/Ipams.pm'], ["$dir/PVE/Network/SDN", 'Ipams.pm']) {
        my ($in, $file) = @$case;
        my $run = "cd '$in' && $^X '$Bin/../pve-nautobot-register' --file $file";
        my $said = `$run --install 2>&1`;
        like(
            $said, qr!^registered in \Q$dir\E/PVE/Network/SDN/Ipams\.pm$!,
            'the result was tried'
        );
        is(slurp("$in/$file"), $patched, 'registered');
        is(`$run --remove 2>&1`, "removed from $dir/PVE/Network/SDN/Ipams.pm\n", 'removed');
    }

    spew("$dir/PVE/Network/SDN/Ipams/NautobotPlugin.pm", "broken(;\n");
    my $said =
        `cd '$dir' && $^X '$Bin/../pve-nautobot-register' --install --file PVE/Network/SDN/Ipams.pm 2>&1`;
    like(
        $said, qr/does not load, so it was left unchanged: .*syntax error/s,
        'a broken plugin'
    );
    is(slurp("$dir/PVE/Network/SDN/Ipams.pm"), $text, 'unchanged');
};

subtest 'a symbolic link' => sub {
    my ($dir, $file) = node($text);
    my $target = "$dir/Ipams.real";
    rename($file, $target) && symlink($target, $file) or die "no link: $!";
    does(
        $file, '--install', 2, qr!Ipams\.pm is a symbolic link to \Q$target\E: give the file!,
        $text
    );
    does($file, '--check', 1, qr/^not registered/);
    spew($target, $patched);
    does($file, '--remove', 2, qr/is a symbolic link to/, $patched);
    does($file, '--check', 0, qr/^registered/);
    ok(-l $file, 'still a link');
};

subtest 'no such file' => sub {
    my (undef, $file) = node(undef);
    does($file, '--install', 2, qr/does not exist: is this a Proxmox VE node/);
    does($file, '--check', 2, qr/does not exist/);
    does($file, '--remove', 0, qr/nothing to remove/);
};

subtest 'arguments' => sub {
    my (undef, $file) = node($text);
    for my $args ('', '--install --remove', '--check more', '--other') {
        my ($code, $said) = register($file, $args);
        is($code, 2, "'$args': exit code");
        like($said, qr/^usage: /m, "'$args': usage");
    }
    is((register($file, '--help'))[0], 0, '--help');
    is(slurp($file), $text, 'unchanged');
};

done_testing();
